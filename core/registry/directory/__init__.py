"""The server's side of plugins of hooks: their processes, their answers, and how long these are used."""
