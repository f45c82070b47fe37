"""What administrators do beyond the protocols: find, count and reprocess jobs, take old lines out of the audit trail.

Owners find and count jobs here, too: their own.
"""
