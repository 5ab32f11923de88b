"""Logs: no secret gets out, whoever logs it and however."""

import subprocess
import sys

import pytest

CANARY = "canary-7c1f"

PROGRAM = f"""
import logging, sys
import structlog
from swapdesk.logs import set_up

set_up(json=sys.argv[1] == "json")
CANARY = {CANARY!r}
log = structlog.get_logger("room")
log.info("plain", order="visible-1", api_key="visible-2")
log.info("named", api_secret=CANARY, token=CANARY, passphrase=CANARY, webhook_secret_sealed=CANARY)
log.info("nested", deep={{"rows": [{{"X-API-SIGN": CANARY, "password": CANARY}}]}})
log.info("bytes", blob=CANARY.encode())
log.info("url", why=f"cannot reach postgresql://desk:{{CANARY}}@127.0.0.1/desk")
logging.getLogger("library").warning("postgresql://desk:%s@host/desk", CANARY)
logging.getLogger("library").warning("extra", extra={{"authorization": CANARY}})

def fails(secret):
    held = {{"key": secret}}
    raise ValueError(f"broken here: redis://:{{secret}}@host")

try:
    fails(CANARY)
except ValueError:
    log.exception("ours")
    logging.getLogger("library").exception("theirs")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_canaries_stay_inside(form: str) -> None:
    """Names, nested names, URLs, bytes, locals of a traceback, the standard library's loggers."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == ""
    assert CANARY not in done.stderr.replace("CANARY", "")
    for visible in ("visible-1", "visible-2", "broken here", "theirs", "extra", "nested"):
        assert visible in done.stderr, done.stderr
