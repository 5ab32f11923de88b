"""The journal: bindings, payments, signed bytes, claims on coins and nonces, reports, stops."""

from pathlib import Path

from alembic import op

from swapdesk.db import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything; the text is in 0001_journal.sql."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())
