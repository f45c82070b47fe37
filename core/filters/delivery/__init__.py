"""What a filter makes: files in folders, complete or not at all, and documents for the filters after it."""
