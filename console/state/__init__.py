"""What the console remembers between requests, so that no request repeats what is slow."""
