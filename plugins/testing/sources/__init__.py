"""The parts of the test kit that are about sources."""
