"""HTTP and TLS to one device: bounded, and ended by a stop at any moment."""
