"""The commands for what is stored: its backup, its tables, and the spool."""
