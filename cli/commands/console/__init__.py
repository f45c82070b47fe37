"""`postscan console`: the ways into the console, and the tokens of its API."""
