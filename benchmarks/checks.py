"""After the load: every order has its own correct address, in the table and in the answer."""

import asyncio
import json

import aiohttp
import asyncpg

from benchmarks.rounds import ASK
from benchmarks.site import Bench
from tests.http_site import sign

#: Creates whose answers are compared with the table.
SAMPLE = 256


async def check_addresses(bench: Bench) -> int:
    """How many orders were checked. AssertionError for the first that is wrong."""
    told = await _some_answers(bench)
    connection = await asyncpg.connect(bench.owner_dsn)
    try:
        rows = await connection.fetch(
            "SELECT o.id, a.network, a.index, a.address, a.asset = o.from_asset AS fits"
            "  FROM orders o LEFT JOIN pay_in_address a ON a.order_id = o.id"
        )
    finally:
        await connection.close()
    assert len({row["address"] for row in rows}) == len(rows), "an address was handed out twice"
    for row in rows:
        derived = bench.desk.pay_in.address(row["network"], row["index"])
        assert row["fits"] and row["address"] == derived, row["id"]
        assert told.pop(str(row["id"]), derived) == derived, row["id"]
    assert not told, "an order that was answered is not in the table"
    return len(rows)


async def _some_answers(bench: Bench) -> dict[str, str]:
    """Order id -> address, as /create told them."""
    body = json.dumps(ASK).encode()
    known = {
        "X-API-KEY": bench.partner.api_key,
        "X-API-SIGN": sign(bench.partner.api_secret, body),
    }
    async with aiohttp.ClientSession() as session:

        async def create(number: int) -> tuple[str, str]:
            headers = {**known, "X-API-NONCE": f"checked-{number:012}"}
            url = f"{bench.url}/api/v1/create"
            async with session.post(url, data=body, headers=headers) as answer:
                order = (await answer.json())["data"]
                return order["id"], order["from"]["address"]

        return dict(await asyncio.gather(*(create(number) for number in range(SAMPLE))))
