"""`postscan console`: run it, the ways into it, and the tokens of its API."""
