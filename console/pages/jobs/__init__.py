"""The list of jobs, the page of a job, and what can be done with jobs."""
