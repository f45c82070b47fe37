"""The clients: their connections, commands and the bytes of their mails."""
