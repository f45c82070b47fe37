"""The scanners of an inlet while it runs: a thread for each, the presses at their panels, and their health."""
