"""The vault at work: one tick pulls, decides, signs, broadcasts, follows, reports.

Nothing is remembered between ticks that is not in the journal, save what can be asked again. So a
vault that was killed between any two lines goes on where its rows stand. Trouble with a node or
the desk is logged and tried again; only the loss of the journal ends the process.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final

import structlog

from swapdesk.assets import Registry
from swapdesk.chains.reader import NodeTrouble, Reader, WrongChain, require_identity
from swapdesk.handoff import (
    PAGE_ROWS_MAX,
    Acknowledged,
    Beat,
    HotBalance,
    IntentKey,
    attested_bytes,
)
from swapdesk.world import World
from swapdesk_vault.journal import Journal
from swapdesk_vault.keys import Keyring
from swapdesk_vault.link import Link, LinkTrouble
from swapdesk_vault.pace import Pace
from swapdesk_vault.paying import Paying
from swapdesk_vault.payment import UnknownOutflow
from swapdesk_vault.policy import Limits
from swapdesk_vault.prices import OwnRates
from swapdesk_vault.senders.sender import Sender
from swapdesk_vault.verify import foreign

log = structlog.get_logger("vault")

#: Pages of one kind that one tick takes, so that payments never wait for a flood.
PAGES_MAX: Final = 10


class Vault:
    """One vault. Everything it uses is handed in; `tick` does all there is to do once."""

    def __init__(
        self,
        *,
        world: World,
        journal: Journal,
        link: Link,
        readers: Mapping[str, Reader],
        senders: Mapping[str, Sender],
        keyring: Keyring,
        limits: Limits,
        rates: OwnRates,
        registry: Registry,
        pins: Mapping[str, Sequence[tuple[int, str]]] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.pace = pace or Pace()
        self._world = world
        self._journal, self._link = journal, link
        self._readers, self._senders = readers, senders
        self._keyring, self._registry = keyring, registry
        self._rates = rates
        self._pins = pins or {}
        self._trusted: set[str] = set()  # networks whose node follows the right chain
        self._identity_due: dict[str, int] = {}
        self._beat_due = 0
        self._said: dict[str, str] = {}  # last trouble of each step, so that logs do not repeat
        self._paying = Paying(
            world, journal, readers, senders, keyring, limits, rates, registry, self.pace
        )

    @property
    def fence(self) -> int:
        """Number of this run; the desk refuses a lower one."""
        return self._journal.fence

    async def tick(self) -> None:
        """Everything that can be done now, once. Raises only when the journal is lost."""
        await self._check_chains()
        if await self._journal.stopped() is None and await self._guard(
            "bindings", self._pull_bindings()
        ):
            await self._guard("intents", self._pull_intents())
        for network in sorted(self._trusted):
            await self._guard(f"hot {network}", self._senders[network].observe())
        await self._guard("rates", self._rates.book(self._world.now()))
        await self._pay()
        await self._guard("reports", self._flush_reports())
        await self._guard("beat", self._beat())

    async def close(self) -> None:
        """Release every connection; the journal's last, because it holds the lock."""
        await self._link.close()
        await self._rates.close()
        for network in self._readers:
            await self._readers[network].close()
            await self._senders[network].close()
        await self._journal.close()

    async def _guard(self, step: str, work: Awaitable[Any]) -> bool:
        """Do one step; trouble is logged when it is news. False: it did not succeed."""
        try:
            await work
        except (NodeTrouble, LinkTrouble, WrongChain) as trouble:
            if isinstance(trouble, NodeTrouble):
                self._identity_due.clear()  # perhaps it is another node now
            self._say(step, str(trouble))
            return False
        except UnknownOutflow as outflow:
            await self._stop(str(outflow))
            return False
        except Exception as bug:
            if self._journal.connection.is_closed():
                raise
            if self._said.get(step) != repr(bug):
                self._said[step] = repr(bug)
                log.exception("step_failed", step=step, error=type(bug).__name__)
            return False
        self._say(step, "")
        return True

    def _say(self, step: str, trouble: str) -> None:
        if self._said.get(step, "") != trouble:
            self._said[step] = trouble
            if trouble:
                log.warning("trouble", step=step, trouble=trouble)
            else:
                log.info("recovered", step=step)

    async def _stop(self, reason: str) -> None:
        if await self._journal.stopped() is None:
            await self._journal.stop(reason)
            self._beat_due = 0
            log.critical("stopped", reason=reason)

    async def _check_chains(self) -> None:
        """Ask every node which chain it follows: at the start, hourly, and after trouble."""
        now = self._world.now()
        for network, reader in self._readers.items():
            if now < self._identity_due.get(network, 0):
                continue
            self._identity_due[network] = now + self.pace.identity_retry_ms
            step = f"identity {network}"
            try:
                await require_identity(reader, self._pins.get(network, ()))
            except NodeTrouble as trouble:
                self._trusted.discard(network)
                self._say(step, str(trouble))
            except WrongChain as wrong:
                self._trusted.discard(network)
                if self._said.get(step) != str(wrong):
                    await self._journal.alarm(str(wrong))
                self._say(step, str(wrong))
            else:
                self._trusted.add(network)
                self._identity_due[network] = now + self.pace.identity_ms
                self._say(step, "")

    async def _pull_bindings(self) -> None:
        """Store every new binding and attest to it. One that is wrong stops the vault."""
        for _ in range(PAGES_MAX):
            rows = await self._link.bindings()
            done: list[Acknowledged] = []
            for binding in rows:
                wrong = foreign(binding, self._registry, self._keyring)
                attestation = self._keyring.attestation_key().sign(attested_bytes(binding)).hex()
                if wrong is None:
                    family = self._registry.networks[binding.network].family
                    stored = await self._journal.bind(binding, family, attestation)
                    wrong = {
                        "changed": "it was bound otherwise before",
                        "taken": f"index {binding.index} belongs to another order",
                    }.get(stored)
                if wrong is not None:
                    await self._stop(f"binding of order {binding.order_id}: {wrong}")
                    return
                done.append(Acknowledged(binding.order_id, attestation))
            if done:
                await self._link.acknowledge_bindings(done)
            if len(rows) < PAGE_ROWS_MAX:
                return

    async def _pull_intents(self) -> None:
        """Store every new intent. The same attempt with other contents stops the vault."""
        if await self._journal.stopped() is not None:
            return
        for _ in range(PAGES_MAX):
            rows = await self._link.intents()
            done: list[IntentKey] = []
            for intent in rows:
                asset = self._registry.assets.get(intent.asset)
                stored = await self._journal.accept(intent, asset.network if asset else "")
                if stored == "changed":
                    await self._stop(
                        f"intent {intent.order_id}/{intent.attempt} came with other contents"
                    )
                    return
                done.append(IntentKey(intent.order_id, intent.attempt))
            if done:
                await self._link.acknowledge_intents(done)
            if len(rows) < PAGE_ROWS_MAX:
                return

    async def _pay(self) -> None:
        payments = await self._journal.live()
        doubtful = self._paying.doubtful(payments)
        if doubtful:
            await self._guard("deposits", self._refresh_hints(doubtful))
        self._paying.new_round(payments)
        for payment in payments:
            stopped = await self._journal.stopped() is not None
            await self._guard(
                f"payment {payment.order_id}/{payment.attempt}",
                self._paying.advance(payment, frozenset(self._trusted), stopped=stopped),
            )

    async def _refresh_hints(self, order_ids: Sequence[str]) -> None:
        for row in await self._link.deposits(order_ids):
            await self._paying.hint(row)

    async def _flush_reports(self) -> None:
        due = await self._journal.reports_due()
        if due:
            await self._journal.accepted(await self._link.reports(due))

    async def _beat(self) -> None:
        now = self._world.now()
        if now < self._beat_due:
            return
        balances: list[HotBalance] = []
        for network in sorted(self._trusted):
            try:
                balances += await self._senders[network].balances()
            except NodeTrouble as trouble:
                self._say(f"balances {network}", str(trouble))
        stopped = await self._journal.stopped()
        await self._link.beat(Beat(self._journal.fence, stopped, tuple(balances)))
        self._beat_due = now + self.pace.beat_ms
