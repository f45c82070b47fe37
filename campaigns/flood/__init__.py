"""A flood of unkind clients, and what a bystander notices of it: `python -m campaigns flood`."""
