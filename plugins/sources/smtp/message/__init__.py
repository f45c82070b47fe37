"""A mail as it lies in a file: its parts, and which of them are pages. Nothing of it is read into memory as a whole."""
