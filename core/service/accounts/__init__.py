"""Accounts of sources: names with passwords, each of which stands for a user."""
