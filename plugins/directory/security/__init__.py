"""Who may read an object of Active Directory: its security descriptor, and the decision; no I/O."""
