"""Stored scan processes, read from a folder of PSP files."""
