"""What processes that share a database store about themselves. Functions on an open transaction."""
