"""Commands about sources and their destinations."""
