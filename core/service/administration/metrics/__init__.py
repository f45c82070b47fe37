"""Metrics of a server: counted from the stored events, read from its parts, and written to a file for Prometheus.

The file is `metrics.prom` in the data folder. `docs/metrics.md` has every metric; a test compares the two.
"""
