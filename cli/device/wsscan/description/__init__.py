"""What the simulated scanner tells of itself: metadata, configuration, status, and tickets."""
