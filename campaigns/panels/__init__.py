"""Presses at the panels of simulated WSD scanners, and cancels: `python -m campaigns presses`, `panel_cancels`."""
