"""A simulated eSCL scanner: `scanner.py` for tests, `command.py` for `postscan device --escl`."""
