"""The files by which systemd runs the server: the unit, its user, who reads its settings; and their installation."""
