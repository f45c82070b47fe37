"""What commands print: tables, views of jobs, log lines, exit codes."""
