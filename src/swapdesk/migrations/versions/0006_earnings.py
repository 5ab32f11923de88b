"""earnings: see the .sql beside it."""

from pathlib import Path

from alembic import op

from swapdesk.db import run_script

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create everything; the text is in 0006_earnings.sql."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())
