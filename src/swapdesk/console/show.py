"""How the console prints: tables for people, JSON for programs, money in whole coins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

#: Columns when the output is no terminal: ids and addresses must stay whole.
PIPE_COLUMNS: Final = 240


def as_json(value: Any) -> None:
    """One JSON document on one line; structs become objects, amounts stay as given."""
    import msgspec

    print(msgspec.json.encode(value, enc_hook=str).decode())


def as_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    right: Sequence[str] = (),
) -> None:
    """A table; the columns named in `right` hold numbers. Says "none" when there are no rows."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_COLUMNS)
    if not rows:
        console.print(f"{title}: none", highlight=False)
        return
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(table, highlight=False)


def moment(at_ms: int | None) -> str:
    """A time in milliseconds as UTC text, "2026-11-20 14:03:07"; empty for None."""
    from datetime import UTC, datetime

    if at_ms is None:
        return ""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
