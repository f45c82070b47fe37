"""The domain as values and one entity, `Job`. No I/O."""
