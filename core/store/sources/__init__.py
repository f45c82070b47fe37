"""What the database has of sources: origins and their keys, identifiers of destinations, inlets."""
