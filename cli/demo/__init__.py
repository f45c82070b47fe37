"""`postscan demo`: a server, a device, an upload and three jobs in a temporary folder."""
