"""Cut files on their way in, by the hundred, and check that no half becomes a job and that nothing of it is left."""
