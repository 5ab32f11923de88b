"""Logs: structlog for us, the same processors for the standard library's loggers. No secrets.

A field whose name looks secret is blanked, and so is a password in a URL, whoever logs it.
Tracebacks show no local variables: those are full of secrets.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED: Final = "[redacted]"
#: Names of fields that are never logged, wherever in a nested value they stand.
_SECRET_NAME: Final = re.compile(
    r"secret|passw|passphrase|token|private_?key|mnemonic|seed|xprv|api_?sign|x-api-|authorization"
    r"|cookie|sealed|dsn|database_url",
    re.IGNORECASE,
)
#: The password of any URL: scheme://user:password@host.
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^\s:/@]*):([^\s@/]+)@")
#: How deep nested values are looked through.
_DEPTH_MAX: Final = 6


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The processor: blank what looks secret, in names and in text."""
    return {name: _clean(name, value, _DEPTH_MAX) for name, value in event.items()}


def _clean(name: str, value: Any, depth: int) -> Any:
    if _SECRET_NAME.search(name) and value is not None:
        return REDACTED
    if isinstance(value, str):
        return _URL_PASSWORD.sub(rf"\1:{REDACTED}@", value)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if depth and isinstance(value, Mapping):
        return {key: _clean(str(key), each, depth - 1) for key, each in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_clean("", each, depth - 1) for each in value]
    return value


def set_up(*, json: bool, level: str = "INFO", program: str = "swapdesk") -> None:
    """Send every log of this process to standard error, as JSON lines or for people.

    Call once, first thing. `level` is a name such as "INFO".
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if json:
        trace: Processor = structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        )
        last: list[Processor] = [trace, redact, structlog.processors.JSONRenderer(default=repr)]
    else:
        plain = structlog.dev.plain_traceback
        last = [
            structlog.processors.format_exc_info,  # as text before redact, which cleans it
            redact,
            structlog.dev.ConsoleRenderer(exception_formatter=plain),
        ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, root.level))
    structlog.contextvars.bind_contextvars(program=program)
