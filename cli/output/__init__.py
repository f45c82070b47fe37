"""Output of commands: tables, views of jobs, log lines, exit codes."""
