"""Metrics of a process: counted from the stored events, read from its parts, rendered for who asks; and its health.

The console gets them by a socket in the data folder, Prometheus at the port of `[monitoring]`. `docs/metrics.md` has
every metric; a test compares the two. `health` has what probes ask for.
"""
