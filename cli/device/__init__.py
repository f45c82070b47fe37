"""The simulated scanner. It shares no code with `soap/`."""
