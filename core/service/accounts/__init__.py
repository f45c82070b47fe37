"""Accounts, each of which stands for a user by a password; sessions of people at the console, and tokens of its API."""
