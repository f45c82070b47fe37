"""What stands between a connection and a page: the guard, who asks, limits, and the process that serves."""
