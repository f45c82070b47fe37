"""The scan jobs of the simulated scanner, their pages, and the elements that describe them."""
