"""Pages about the server itself: its health, settings, callers and sources, accounts, and the audit trail."""
