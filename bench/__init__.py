"""Benchmarks, each beside what it is compared to, in one run: `python -m bench [NAME ...]`."""
