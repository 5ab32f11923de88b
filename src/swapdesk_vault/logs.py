"""The vault's logs: JSON lines on standard error, without local variables and URL passwords."""

import logging
import re
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

#: The password of any URL: scheme://user:password@host.
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^\s:/@]*):([^\s@/]+)@")


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blank passwords in URLs. Nothing else secret is ever handed to a logger here."""
    return {
        name: _URL_PASSWORD.sub(r"\1:[redacted]@", value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def set_up() -> None:
    """Call once, first thing."""
    trace: Processor = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            trace,
            redact,
            structlog.processors.JSONRenderer(default=repr),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
