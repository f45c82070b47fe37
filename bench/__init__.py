"""Measurements, side by side with the thing that each is compared to, in one run: `python -m bench [NAME ...]`."""
