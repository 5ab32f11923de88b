"""The demo from start to end: put up the stage, run the swaps, judge the result, stay up."""

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from swapdesk.chains.reader import NodeTrouble
from swapdesk.demo.nodes import NodeMissing
from swapdesk.demo.partner import Told
from swapdesk.demo.programs import Failed
from swapdesk.demo.reconcile import Line, reconcile
from swapdesk.demo.site import CONFIRMATIONS, Places
from swapdesk.demo.stage import Stage
from swapdesk.demo.story import SWAPS, Outcome, Story
from swapdesk.embedded import NoPostgres
from swapdesk.money import show
from swapdesk.world import RealWorld, World

#: Exit statuses: something is wrong; stopped by a signal before the end.
WRONG: Final = 1
STOPPED: Final = 130
#: Columns when the output is no terminal: transaction ids stay whole.
PIPE_COLUMNS: Final = 200
#: Payments are final a few blocks after their broadcast.
FINAL_SECONDS_MAX: Final = 60
_POLL_SECONDS: Final = 0.5
_COLOURS: Final = {"A": "cyan", "B": "magenta", "C": "yellow", "D": "green"}


class Teller:
    """Prints steps with the seconds since the start."""

    def __init__(self, world: World) -> None:
        console = Console(highlight=False)
        self.console = console if console.is_terminal else Console(
            highlight=False, width=PIPE_COLUMNS
        )  # fmt: skip
        self._world = world
        self._started_ms = world.now()

    def say(self, text: str, name: str = "") -> None:
        """One line; `name` is the swap it belongs to."""
        seconds = show((self._world.now() - self._started_ms) // 100, 1)
        colour = _COLOURS.get(name, "white")
        self.console.print(
            f"[dim]{seconds:>6} s[/] [bold {colour}]{name or '·'}[/] {escape(text)}",
            soft_wrap=True,
        )


def main(state: Path, *, once: bool) -> int:
    """Run the demo with its files under `state`; the exit status."""
    state.mkdir(mode=0o711, parents=True, exist_ok=True)
    return asyncio.run(_main(state.absolute(), once=once))


async def _main(state: Path, *, once: bool) -> int:
    world = RealWorld()
    teller = Teller(world)
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task
    for number in (signal.SIGINT, signal.SIGTERM):  # also when inherited as ignored
        loop.add_signal_handler(number, _stop, task)
    stage = Stage(Places(state), world, teller.say)
    judged = False
    try:
        async with stage:
            wrong = await _perform(stage, teller)
            judged = True
            if not once:
                await _stay(stage, teller)
    except asyncio.CancelledError:
        teller.say("stopped")
        if not judged:
            return STOPPED
    except (Failed, NodeMissing, NodeTrouble, NoPostgres, Told) as trouble:
        wrong = [str(trouble)]
    for each in wrong:
        teller.say(f"WRONG: {each}")
    return WRONG if wrong else 0


def _stop(task: "asyncio.Task[Any]") -> None:
    """The first signal ends the demo in order; later ones must not disturb that."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: None)
    task.cancel()


async def _perform(stage: Stage, teller: Teller) -> list[str]:
    """Run all swaps; what is wrong afterwards, nothing if all is well."""
    outcomes = [Outcome(swap) for swap in SWAPS]

    def say(name: str, text: str) -> None:
        teller.say(text, name)

    def on_event(order: dict[str, Any]) -> None:
        name = next((o.swap.name for o in outcomes if o.order_id == order["id"]), "")
        whose = "" if name else f" of order {order['id']}"
        teller.say(f"webhook{whose}, signature verified: {order['status']}", name)

    stage.on_event = on_event
    story = Story(stage.partner, stage.customer, stage.world, say, stage.swapdesk)
    try:
        async with asyncio.TaskGroup() as swaps:
            for outcome in outcomes:
                swaps.create_task(story.run(outcome.swap, outcome))
    except BaseExceptionGroup as group:
        raise Failed("; ".join(map(str, group.exceptions))) from group
    teller.say("waiting until every payment is final")
    wrong = await _settle(stage, outcomes)
    _show_outcomes(teller, outcomes)
    teller.console.print((await stage.swapdesk("books", "trial-balance")).rstrip(), markup=False)
    lines = await _reconcile(stage)
    _show_lines(stage, teller, lines)
    wrong += [
        f"{line.account} {line.asset}: books {line.books}, chain {line.chain}"
        for line in lines
        if not line.agrees
    ]
    wrong += _judge_webhooks(stage, outcomes)
    teller.say("everything is as it should be" if not wrong else "something is wrong")
    return wrong


async def _settle(stage: Stage, outcomes: Sequence[Outcome]) -> list[str]:
    """Wait for final states and blocks; what is still wrong after FINAL_SECONDS_MAX."""
    wrong: list[str] = []
    try:
        async with asyncio.timeout(FINAL_SECONDS_MAX):
            while wrong := [w for o in outcomes for w in await _unsettled(stage, o)]:
                stage.require_alive()
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        return wrong
    return []


async def _unsettled(stage: Stage, outcome: Outcome) -> list[str]:
    """What is missing of one swap: its state, or its payment in a block."""
    swap, customer = outcome.swap, stage.customer
    if outcome.state != swap.ends:
        found = msgspec.json.decode(
            await stage.swapdesk("order", "show", outcome.order_id, "--json")
        )
        outcome.state = found["order"]["state"]
        sent_ms = found["intents"][-1]["sent_ms"]
        src = customer.registry.assets[swap.from_ccy].network
        height = await customer.block_of(src, outcome.deposit_txid)
        final = stage.chains.blocks[src].get((height or 0) + CONFIRMATIONS[src] - 1)
        if sent_ms and final and swap.ends == "DONE":
            outcome.waited_ms = sent_ms - final
    wrong = []
    if outcome.state != swap.ends:
        wrong.append(f"order {outcome.order_id} is {outcome.state}, not {swap.ends}")
    paid = swap.to_ccy if swap.ends == "DONE" else swap.from_ccy
    network = customer.registry.assets[paid].network
    if await customer.block_of(network, outcome.paid_txid) is None:
        wrong.append(f"{network} transaction {outcome.paid_txid} is in no block")
    return wrong


async def _reconcile(stage: Stage) -> list[Line]:
    balances = msgspec.json.decode(await stage.swapdesk("books", "trial-balance", "--json"))
    orders = msgspec.json.decode(await stage.swapdesk("order", "list", "--json"))
    pay_in: dict[str, list[str]] = {}
    for order in orders:
        pay_in.setdefault(order["network"], []).append(order["address"])
    return await reconcile(stage.customer, balances, pay_in, stage.hot)


def _judge_webhooks(stage: Stage, outcomes: Sequence[Outcome]) -> list[str]:
    """Every order's last status must have come by webhook, and no forged one."""
    wrong = [
        f"no webhook told of the end of order {o.order_id}: {stage.receiver.statuses.get(o.order_id)}"
        for o in outcomes
        if {"DONE": "DONE", "REFUNDED": "EXPIRED"}[o.swap.ends]
        not in stage.receiver.statuses.get(o.order_id, [])
    ]
    if stage.receiver.refused:
        wrong.append(f"{stage.receiver.refused} webhooks failed the check of their signature")
    return wrong


def _show_outcomes(teller: Teller, outcomes: Sequence[Outcome]) -> None:
    table = Table(title="Orders", title_justify="left")
    for column in ("", "swap", "order", "state", "deposit final → payout broadcast"):
        table.add_column(column)
    for o in outcomes:
        waited = "" if o.waited_ms is None else f"{show(o.waited_ms // 10, 2)} s"
        swap = f"{o.swap.pays} {o.swap.from_ccy} → {o.swap.to_ccy}"
        table.add_row(o.swap.name, swap, o.order_id, o.state, waited)
    teller.console.print(table)


def _show_lines(stage: Stage, teller: Teller, lines: Sequence[Line]) -> None:
    table = Table(title="Books against chains", title_justify="left")
    for column in ("account", "asset", "books", "chain", ""):
        table.add_column(column, justify="right" if column in ("books", "chain") else "left")
    for line in lines:
        digits = stage.customer.registry.assets[line.asset].decimals
        agrees = "agrees" if line.agrees else "[red]DIFFERS[/]"
        simulated = " (simulated)" if "/tron/" in line.account else ""
        table.add_row(
            line.account + simulated, line.asset, show(line.books, digits),
            show(line.chain, digits), agrees,
        )  # fmt: skip
    teller.console.print(table)


async def _stay(stage: Stage, teller: Teller) -> None:
    """Show how to use the desk, and keep it running until a signal or until a program ends."""
    table = Table(title="Use it", title_justify="left", show_header=False)
    for name, value in stage.env.items():
        table.add_row(name, value)
    teller.console.print(table)
    where = stage.places
    teller.console.print(
        f"All of this is in {where.env}:  source {where.env}\n"
        f"Pay an order's address:        swapdesk demo pay btc ADDRESS 0.01\n"
        f"Look as its operator:          swapdesk order list\n"
        f"Logs are in {where.logs}. Ctrl-C stops everything.",
        markup=False,
        soft_wrap=True,
    )
    while True:
        stage.require_alive()
        await asyncio.sleep(_POLL_SECONDS)
