"""What is drawn from the code is as fresh as the code."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_states_page_is_fresh() -> None:
    """docs/states.md shows the transition table as it is."""
    page = runpy.run_path(str(ROOT / "tools" / "draw-states"))["page"]()
    assert (ROOT / "docs" / "states.md").read_text() == page, "run `make docs`"
