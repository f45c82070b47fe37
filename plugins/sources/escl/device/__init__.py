"""One scanner: how it is found and called, what it does otherwise than others, and requests of eSCL to it."""
