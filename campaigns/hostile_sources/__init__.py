"""Sources that do harm, and clients of honest ones that go no further: `python -m campaigns sources`."""
