"""`python -m postscan.cli`: the same as the command `postscan`."""

from __future__ import annotations

from postscan.cli import main

if __name__ == "__main__":
    main()
