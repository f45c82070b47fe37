"""WS-Scan: scans that are started at the panel of a WSD scanner, as a source."""
