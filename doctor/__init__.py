"""Checks of an installation. Each check yields findings, with the command that corrects a problem."""
