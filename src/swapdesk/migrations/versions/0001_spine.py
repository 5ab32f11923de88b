"""The spine: partners, orders, deposits, books, intents, outbox."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything; the text is in 0001_spine.sql."""
    statements = Path(__file__).with_suffix(".sql").read_text()
    for statement in statements.split("-- ;;"):
        op.execute(statement)
