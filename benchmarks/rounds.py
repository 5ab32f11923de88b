"""The rounds: every load in turn, again and again, so that noise hits all of them alike."""

import asyncio
import json
import statistics
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import load, site
from benchmarks.load import Load
from swapdesk.embedded import EmbeddedPostgres
from swapdesk.engine.open_order import OrderAsk, open_order

ASK: Final = {
    "type": "float", "fromCcy": "btc", "toCcy": "usdt_trc20", "direction": "from", "amount": "0.01",
    "toAddress": "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
    "refundAddress": "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
}  # fmt: skip
#: Orders that exist before anything is measured, and are looked at.
ORDERS: Final = 10_000
CONNECTIONS: Final = 64
#: What the ratio to the limit must reach.
TARGETS: Final = {"price": 0.70, "price, no two alike": None, "price, signed": 0.60, "order": 0.50,
                  "create": 0.60}  # fmt: skip


class Plan(msgspec.Struct, frozen=True):
    """What is measured, where, and for how long."""

    folder: Path
    cluster: EmbeddedPostgres
    desk: site.Bench
    other: site.Bench  #: the same schema for pgbench alone
    seconds: int
    rounds: int


class Figure(msgspec.Struct):
    """One load: medians over the rounds. Times in milliseconds, CPU in microseconds per call."""

    name: str
    limit: str | None
    rates: list[float] = []
    p50: list[float] = []
    p99: list[float] = []
    python: list[float] = []
    postgres: list[float] = []
    refused: int = 0
    broken: int = 0
    ratio: float | None = None

    @property
    def rate(self) -> float:
        """Calls a second."""
        return statistics.median(self.rates)


Run = Callable[[], Awaitable[Load]]


async def seed_orders(bench: site.Bench, count: int) -> list[bytes]:
    """Open orders the way /create does; bodies that ask for them."""
    assets = bench.desk.registry.assets
    ask = OrderAsk(
        bench.partner.partner_id, assets["btc"], assets["usdt_trc20"], "from", 1_000_000, 50,
        ASK["toAddress"], ASK["refundAddress"], None, bytes(32),
    )  # fmt: skip
    opened = []
    for _ in range(count // 200):
        opened += await asyncio.gather(*(open_order(bench.desk, ask) for _ in range(200)))
    return [
        json.dumps({"id": str(each.view.order.id), "token": each.token}).encode() for each in opened
    ]


def loads(plan: Plan, orders: list[bytes], hello_url: str) -> dict[str, Run]:
    """Every load of a round by name."""
    desk, folder, seconds = plan.desk, plan.folder, plan.seconds
    key, secret = desk.partner.api_key, desk.partner.api_secret
    price_ask = {name: ASK[name] for name in ("type", "fromCcy", "toCcy", "direction", "amount")}
    price = load.write_requests(folder / "price", secret, [_json(price_ask)])
    alike = [_json({**price_ask, "amount": f"0.0{n:05}"}) for n in range(10_000, 30_000)]
    no_two = load.write_requests(folder / "no-two", secret, alike)
    create = load.write_requests(folder / "create", secret, [_json(ASK)])
    order = load.write_requests(folder / "order", secret, orders)
    api = f"{desk.url}/api/v1"

    def wrk(url: str, what: Path, **how: object) -> Run:
        return lambda: load.wrk(url, what, seconds=seconds, connections=CONNECTIONS, **how)  # type: ignore[arg-type]

    return {
        "hello": wrk(hello_url, price, key=key),
        "price": wrk(f"{api}/price", price),
        "price, no two alike": wrk(f"{api}/price", no_two),
        "price, signed": wrk(f"{api}/price", price, key=key),
        "order": wrk(f"{api}/order", order, key=key),
        "create": wrk(f"{api}/create", create, key=key, idempotent=True),
        "pgbench": lambda: load.pgbench(plan.other.app_dsn, load.HERE / "create.sql", seconds),
    }


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


async def interleaved(plan: Plan) -> list[Figure]:
    """All loads, round by round; the first round only warms up."""
    orders = await seed_orders(plan.desk, ORDERS)
    with site.hello(plan.folder) as (hello_url, hello):
        runs = loads(plan, orders, hello_url)
        figures = {name: Figure(name, _limit(name)) for name in runs}
        for number in range(plan.rounds + 1):
            for name, run in runs.items():
                child = {"hello": hello, "pgbench": None}.get(name, plan.desk.web)
                figure = figures[name] if number else Figure(name, None)
                got = await measured(figure, run, child.pid if child else None, plan.cluster.pid)
                print(f"round {number} {name:20} {got.rate:8.0f}/s", file=load.LOG, flush=True)
    for figure in figures.values():
        if figure.limit:
            pairs = zip(figure.rates, figures[figure.limit].rates, strict=True)
            figure.ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    return list(figures.values())


def _limit(name: str) -> str | None:
    return {"hello": None, "pgbench": None, "create": "pgbench"}.get(name, "hello")


async def measured(figure: Figure, run: Run, web: int | None, postgres: int) -> Load:
    """Run one load and add what it measured to `figure`."""
    before = (site.cpu_seconds(web) if web else 0.0, site.family_cpu_seconds(postgres))
    got = await run()
    after = (site.cpu_seconds(web) if web else 0.0, site.family_cpu_seconds(postgres))
    figure.rates.append(got.rate)
    figure.p50.append(got.p50)
    figure.p99.append(got.p99)
    figure.python.append((after[0] - before[0]) * 1e6 / got.requests)
    figure.postgres.append((after[1] - before[1]) * 1e6 / got.requests)
    figure.refused += got.refused
    figure.broken += got.broken
    return got


async def half_load(plan: Plan, figures: list[Figure]) -> dict[str, Load]:
    """The signed loads at about half of what they reached: how long a call takes then."""
    rates = {figure.name: figure.rate for figure in figures}
    key, api = plan.desk.partner.api_key, f"{plan.desk.url}/api/v1"
    found = {}
    for name, path in (("price, signed", "price"), ("order", "order"), ("create", "create")):
        pause_ms = CONNECTIONS * 2000 / rates[name]
        each = [
            await load.wrk(
                f"{api}/{path}", plan.folder / path, key=key, connections=CONNECTIONS,
                seconds=plan.seconds, idempotent=name == "create", pause_ms=pause_ms,
            )
            for _ in range(3)
        ]  # fmt: skip
        found[name] = sorted(each, key=lambda one: one.p99)[1]
    return found
