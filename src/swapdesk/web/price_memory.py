"""Answers of /price that were given a moment ago.

Who polls prices asks for the same few amounts again and again. An answer is the same for the same
body and markup as long as nothing else that it depends on has changed, which is at most a second.
"""

from typing import Final

from swapdesk.engine.ask_price import Moment

#: Answers remembered; a full memory is emptied. They hold about 700 bytes each.
ANSWERS_MAX: Final = 10_000
#: Longer bodies are not worth it.
BODY_BYTES_MAX: Final = 1_024


class PriceMemory:
    """What was answered at one moment, by markup and raw body."""

    def __init__(self) -> None:
        self._at: Moment | None = None
        self._answers: dict[tuple[int | None, bytes], bytes] = {}

    def find(self, now: Moment, markup_bps: int | None, body: bytes) -> bytes | None:
        """The answer to `body`, if it still holds. `markup_bps`: the caller's own; None: a stranger,
        whose body has no say in it."""
        at = self._at
        if at is None or at.facts is not now.facts or at.book is not now.book:
            self._at = now
            self._answers.clear()
        return self._answers.get((markup_bps, body))

    def keep(self, markup_bps: int | None, body: bytes, answer: bytes) -> None:
        """Remember an answer worked out at the moment that was just asked about."""
        if len(body) > BODY_BYTES_MAX:
            return
        if len(self._answers) >= ANSWERS_MAX:
            self._answers.clear()
        self._answers[markup_bps, body] = answer
