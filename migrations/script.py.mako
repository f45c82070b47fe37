"""${message}

House rules: no import from postscan (a migration describes the schema of its day, not of today's code); every
constraint gets its name; SQLite and PostgreSQL both; a downgrade is not offered, a backup is.
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
