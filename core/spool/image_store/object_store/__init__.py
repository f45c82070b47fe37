"""Images in an object store: S3, those that are compatible with it, Azure, Google Cloud."""
