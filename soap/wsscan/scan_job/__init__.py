"""One scan job at a device: its ticket, its creation, its pages, and a cancel of either side."""
