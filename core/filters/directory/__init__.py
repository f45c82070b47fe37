"""What a plugin of hooks is: it answers who users are, and which scan processes there are."""
