"""${message}

Rules: no import from postscan (a migration describes the schema of its time, not of the current code); every constraint
has a name; it runs on SQLite and PostgreSQL; there is no downgrade, restore a backup instead.
"""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """${message}"""
    ${upgrades if upgrades else "raise NotImplementedError"}
