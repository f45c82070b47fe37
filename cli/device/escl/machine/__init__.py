"""What the scanner does apart from HTTP: paper, jobs and time."""
