"""The HTTP side: routes, request bodies, TLS and the identity of the caller."""
