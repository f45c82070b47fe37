"""Search and count jobs: which are wanted, how they are found, and what is shown of each."""
