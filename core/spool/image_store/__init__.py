"""Where the bytes of images lie: a port, its adapter for a folder, and which of the adapters the settings name."""
