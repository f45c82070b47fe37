"""What users, groups and scan processes look like in Active Directory, and in OpenLDAP."""
