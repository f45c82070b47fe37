"""Pictures of the pages of jobs: who may see them, and the process that makes them."""
