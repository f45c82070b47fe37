"""WebDAV (RFC 4918, class 2), as far as devices and the file managers of Windows and macOS need it to send a file."""
