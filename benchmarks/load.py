"""Load: wrk with valid signatures, pgbench with the equivalent statement."""

import asyncio
import hashlib
import hmac
import itertools
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.site import CLIENTS
from swapdesk.embedded import installed

#: Where progress is told; the page goes to standard output.
LOG: Final = sys.stderr
HERE: Final = Path(__file__).parent
_RUNS: Final = itertools.count(1)


class Load(msgspec.Struct, frozen=True):
    """What one run measured. Times in milliseconds."""

    rate: float
    requests: int
    refused: int
    broken: int
    p50: float
    p99: float
    worst: float


class Missing(Exception):
    """A program that measuring needs is not here."""


def need(name: str) -> str:
    """Where a program is. Missing says how to get it."""
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not installed: apt install {name}")
    return found


def write_requests(path: Path, secret: str, bodies: Sequence[bytes]) -> Path:
    """One line per request: its signature and its body."""
    with path.open("wb") as out:
        for body in bodies:
            sign = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            out.write(sign.encode() + b"\t" + body + b"\n")
    return path


async def wrk(
    url: str, requests: Path, *, key: str = "-", connections: int = 64, seconds: int = 4,
    idempotent: bool = False, pause_ms: float = 0,
) -> Load:  # fmt: skip
    """Run wrk against `url`. `pause_ms`: mean pause of a connection between two requests."""
    run = f"run{next(_RUNS):05}-"
    told = await _told(
        need("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "-s", HERE / "request.lua", url,
        "--", requests, key, run, "yes" if idempotent else "no", f"{pause_ms:.0f}",
    )  # fmt: skip
    found = json.loads(re.search(r"^RESULT (.*)$", told, re.MULTILINE)[1])  # type: ignore[index]
    return Load(
        rate=found["requests"] * 1e6 / found["micros"],
        requests=found["requests"],
        refused=found["refused"],
        broken=found["broken"],
        p50=found["p50"] / 1000,
        p99=found["p99"] / 1000,
        worst=found["max"] / 1000,
    )


async def pgbench(dsn: str, script: Path, seconds: int = 4) -> Load:
    """Run a script with CLIENTS clients, prepared; no think time."""
    program = installed()[0].bin / "pgbench"
    told = await _told(
        program, "-n", "-M", "prepared", "-c", CLIENTS, "-j2", "-T", seconds, "-f", script, dsn
    )
    rate = float(re.search(r"^tps = ([\d.]+)", told, re.MULTILINE)[1])  # type: ignore[index]
    count = int(re.search(r"processed: (\d+)", told)[1])  # type: ignore[index]
    failed = int((re.search(r"failed transactions: (\d+)", told) or [0, 0])[1])
    mean = float(re.search(r"latency average = ([\d.]+)", told)[1])  # type: ignore[index]
    return Load(rate, count, failed, 0, mean, 0, 0)


async def _told(*words: object) -> str:
    process = await asyncio.create_subprocess_exec(
        *map(str, words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    text = out.decode()
    if process.returncode:
        raise RuntimeError(f"{words[0]}: {text}")
    return text
