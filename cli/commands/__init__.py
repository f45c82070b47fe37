"""The commands of `postscan`, one module each."""
