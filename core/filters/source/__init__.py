"""What a source is, what it receives, and its messages with the server."""
