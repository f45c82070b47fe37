"""Accounts, and who is signed in with them or another way, as values."""
