"""Run jobs: from Pending to their end."""
