"""HP's walk-up: names that computers register, and the table of events that they poll."""
