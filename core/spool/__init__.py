"""Image files on disk, and the rules that keep them in step with the store."""
