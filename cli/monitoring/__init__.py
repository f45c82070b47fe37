"""How a process is watched from outside: a port for probes and metrics, and what systemd is told."""
