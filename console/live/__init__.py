"""Live updates: parts of pages that are rendered again when the database changes, and streams that send them."""
