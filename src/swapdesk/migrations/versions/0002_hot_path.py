"""hot_path: see the .sql beside it."""

from pathlib import Path

from alembic import op

from swapdesk.db import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create everything; the text is in 0002_hot_path.sql."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())
