"""`postscan demo`: a server, a device and two jobs in a temporary folder."""
