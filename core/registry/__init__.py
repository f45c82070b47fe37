"""Installed plugins, as data."""
