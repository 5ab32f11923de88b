"""Does it stay fast? create and order with 5 million orders in the table, beside 10 thousand.

The rows are COPYed without triggers, as the superuser; everything afterwards is the production
path. Two sites run side by side, so that noise hits both alike.
"""

import hashlib
import statistics
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Final

import asyncpg

from benchmarks import load, rounds, site
from swapdesk.world import uuid7

COUNT: Final = 5_000_000
CHUNK: Final = 20_000
#: Every so many of them is asked for.
SAMPLE_EVERY: Final = COUNT // rounds.ORDERS
#: Far from what the sites draw.
FIRST_INDEX: Final = 100_000_000
BEGAN_MS: Final = 1_700_000_000_000
_ORDERS: Final = (
    "id, partner_id, state, rev, shown, from_asset, to_asset, direction, from_units, to_units,"
    " rate_num, rate_den, snapshot_id, base_fee_bps, markup_bps, network_fee_units, min_units,"
    " max_units, destination, refund_address, token_hash, opened_ms, window_ends_ms, updated_ms,"
    " next_ms, bound_ms, attestation"
)


def _id(number: int) -> uuid.UUID:
    return uuid7(BEGAN_MS + number, hashlib.sha256(b"id %d" % number).digest())


def _token(number: int) -> str:
    return hashlib.sha256(b"token %d" % number).hexdigest()[:43]


def _order_line(number: int, partner: str, snapshot: str) -> str:
    at = BEGAN_MS + number
    token = hashlib.sha256(_token(number).encode()).hexdigest()
    return (
        f"{_id(number)}\t{partner}\tEXPIRED\t1\t{{NEW,EXPIRED}}\tbtc\tusdt_trc20\tfrom\t1000000"
        f"\t617232400\t62450120000000000000000\t100000000000000000000\t{snapshot}\t50\t50\t1200000"
        f"\t16013\t32025558\t{rounds.ASK['toAddress']}\t{rounds.ASK['refundAddress']}"
        f"\t\\\\x{token}\t{at}\t{at}\t{at}\t\\N\t{at}\tab\n"
    )


def _log_lines(number: int) -> str:
    key, at = _id(number), BEGAN_MS + number
    return (
        f"{key}\t0\t\\N\t\\N\tWAITING\t{at}\tpartner\n"
        f"{key}\t1\tWAITING\tWINDOW_CLOSED\tEXPIRED\t{at}\tdesk\n"
    )


def _address_line(number: int) -> str:
    made = hashlib.sha256(b"address %d" % number).hexdigest()[:38]
    return f"bitcoin\t{FIRST_INDEX + number}\tbitcoin\tbcrt1{made}\t{_id(number)}\tbtc\n"


async def fill(bench: site.Bench, superuser: str) -> list[bytes]:
    """COPY the orders in; bodies that ask for some of them, evenly spread."""
    connection = await asyncpg.connect(superuser)
    try:
        await connection.execute("SET session_replication_role = replica")
        snapshot = await connection.fetchval("SELECT id FROM rate_snapshot LIMIT 1")
        partner = str(bench.partner.partner_id)
        tables: dict[str, tuple[str, Iterator[str]]] = {
            "orders": (_ORDERS, (_order_line(n, partner, snapshot) for n in range(COUNT))),
            "order_log": (
                "order_id, rev, from_state, cause, to_state, at_ms, by",
                (_log_lines(n) for n in range(COUNT)),
            ),
            "pay_in_address": (
                "family, index, network, address, order_id, asset",
                (_address_line(n) for n in range(COUNT)),
            ),
        }
        for table, (columns, lines) in tables.items():
            print(f"copying {COUNT:,} rows into {table}", file=load.LOG, flush=True)
            await connection.copy_to_table(
                table, source=_chunks(lines), columns=columns.split(", "), format="text"
            )
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
    return [
        b'{"id":"%s","token":"%s"}' % (str(_id(n)).encode(), _token(n).encode())
        for n in range(0, COUNT, SAMPLE_EVERY)
    ]


async def _chunks(lines: Iterator[str]) -> AsyncIterator[bytes]:
    held: list[str] = []
    for line in lines:
        held.append(line)
        if len(held) == CHUNK:
            yield "".join(held).encode()
            held.clear()
    yield "".join(held).encode()


async def compare(plan: rounds.Plan) -> dict[str, tuple[float, float, float]]:
    """Load -> rate with ORDERS orders, rate with COUNT, and how many times the time it takes."""
    name = "desk_big"
    async with site.site_up(plan.folder, plan.cluster, name) as bench:
        bodies = await fill(bench, plan.cluster.dsn(database=name))
        key, secret = bench.partner.api_key, bench.partner.api_secret
        order = load.write_requests(plan.folder / "order-big", secret, bodies)
        create = load.write_requests(plan.folder / "create-big", secret, [rounds._json(rounds.ASK)])
        small, found = plan.desk, {}
        for what, ours, theirs in (
            ("create", plan.folder / "create", create),
            ("order", plan.folder / "order", order),
        ):
            rates: list[tuple[float, float]] = []
            for _ in range(plan.rounds + 1):
                pair = [
                    (await load.wrk(
                        f"{each.url}/api/v1/{what}", requests, key=each.partner.api_key,
                        connections=rounds.CONNECTIONS, seconds=plan.seconds,
                        idempotent=what == "create",
                    )).rate
                    for each, requests in ((small, ours), (bench, theirs))
                ]  # fmt: skip
                rates.append((pair[0], pair[1]))
            rates = rates[1:]
            found[what] = (
                statistics.median(a for a, _ in rates),
                statistics.median(b for _, b in rates),
                statistics.median(a / b for a, b in rates),
            )
        return found
