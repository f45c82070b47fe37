"""The documents of eSCL: capabilities, status and scan settings; no I/O. Source: escl.md sections 1 and 3 to 5."""
