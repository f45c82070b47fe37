"""`postscan plugin`: list, inspect, enable, check and create plugins."""
