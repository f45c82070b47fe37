"""A copy of one installation in a file, made while its server runs, and its return into an empty data folder."""
