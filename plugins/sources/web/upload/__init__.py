"""Bodies of requests into files, and files into jobs."""
