"""The connections of a session, on pyftpdlib's loop and classes."""
