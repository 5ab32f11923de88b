"""codes_and_keys: see the .sql beside it."""

from pathlib import Path

from alembic import op

from swapdesk.db import run_script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create everything; the text is in 0003_codes_and_keys.sql."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())
