"""What a worker does with orders that are not about a filter."""
