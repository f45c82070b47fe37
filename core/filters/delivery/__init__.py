"""Copy a document into a folder so that it appears complete or not at all."""
