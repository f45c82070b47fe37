"""`postscan process`: the stored scan processes."""
