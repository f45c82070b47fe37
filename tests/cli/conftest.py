"""The fixtures of `command_line`, for the tests of the commands."""

from command_line import page, postscan, server, settings_file

__all__ = ["page", "postscan", "server", "settings_file"]
