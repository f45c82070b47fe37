"""Users and scan processes of a directory: Active Directory, Samba, or OpenLDAP; for administrators docs/directory.md.

The plugin only reads. It sees the directory with the rights of one account, which may read all users and scan
processes, and decides itself which processes a user may use.
"""

from postscan.plugins.directory.hooks import LdapDirectory

__all__ = ["LdapDirectory"]
