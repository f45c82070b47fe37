"""What sources share to which devices upload files: folders, bytes on their way, what becomes of a file."""
