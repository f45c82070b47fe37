"""XML: the one parser, and functions that read and write elements. No I/O."""
