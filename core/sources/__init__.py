"""The server's side of sources: a process for each inlet, and what its messages do."""
