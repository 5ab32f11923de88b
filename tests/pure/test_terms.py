"""What the operator writes under [terms] in the site file, and what the engine makes of it."""

import pytest
from pydantic import ValidationError

from swapdesk.money import USD_SCALE
from swapdesk.settings import TermsSite


def test_what_is_left_out() -> None:
    """72 hours of retention and no daily cap."""
    terms = TermsSite()
    assert (terms.retention_ms, terms.daily_cap) == (72 * 3_600_000, None)


def test_units() -> None:
    """Hours become milliseconds, dollars 1/USD_SCALE of them; "never" is for ever; 0 is allowed."""
    terms = TermsSite(retention_hours="never", daily_cap_usd="250000.50")
    assert (terms.retention_ms, terms.daily_cap) == (None, 250_000 * USD_SCALE + USD_SCALE // 2)
    terms = TermsSite(retention_hours=0, daily_cap_usd="0")
    assert (terms.retention_ms, terms.daily_cap) == (0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"retention_hours": -1},
        {"retention_hours": 1_000_000},
        {"retention_hours": "always"},
        {"daily_cap_usd": "-5"},
        {"daily_cap_usd": "lots"},
        {"daily_cap_usd": "NaN"},
        {"daily_cap": "5"},
    ],
)
def test_mistakes(wrong: dict[str, object]) -> None:
    """Anything else is refused when the site file is read."""
    with pytest.raises(ValidationError):
        TermsSite.model_validate(wrong)
