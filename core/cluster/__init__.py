"""Several processes on one database: which of them are alive, who runs which job, and what they tell one another.

Each part is a port with two adapters: one for a process alone, and one for members of a cluster, whose locks, order
and time are those of PostgreSQL.
"""
