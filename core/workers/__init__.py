"""Worker processes: each runs one filter of one job, and can be stopped."""
