"""LDAP to one directory: connections, their log-in, searches, and several servers."""
