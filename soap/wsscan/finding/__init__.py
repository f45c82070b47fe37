"""Find scanners: by multicast, by a configured address, and the scan service in their metadata."""
