"""The link between desk and vault without a socket, and with all the ills of one."""

from collections.abc import Sequence

from swapdesk.engine import handover, note_payout
from swapdesk.engine.desk import Desk
from swapdesk.handoff import (
    Acknowledged,
    Beat,
    Binding,
    IntentKey,
    OrderDeposits,
    PayoutIntent,
    PayoutReport,
    ReportKey,
)
from swapdesk_vault.link import LinkTrouble
from tests.sim.mortal import Fate


class Wire:
    """The link without a socket: the desk's own functions, through a wire that loses and repeats."""

    def __init__(self, desk: Desk, fate: Fate) -> None:
        self.desk, self.fate = desk, fate
        self.told: list[PayoutReport] = []

    def _lost(self) -> None:
        if not self.fate.calm and self.fate.chance.randrange(12) == 0:
            raise LinkTrouble("the answer never came")

    async def bindings(self) -> tuple[Binding, ...]:
        """See Link.bindings."""
        rows = tuple(await handover.unbound(self.desk))
        self._lost()
        return rows

    async def acknowledge_bindings(self, rows: Sequence[Acknowledged]) -> None:
        """See Link.acknowledge_bindings."""
        self._lost()
        await handover.acknowledge(self.desk, rows)
        self._lost()

    async def intents(self) -> tuple[PayoutIntent, ...]:
        """See Link.intents."""
        rows = tuple(await handover.intents(self.desk))
        self._lost()
        return rows

    async def acknowledge_intents(self, rows: Sequence[IntentKey]) -> None:
        """See Link.acknowledge_intents."""
        self._lost()
        await handover.acknowledge_intents(self.desk, [(row.order_id, row.attempt) for row in rows])
        self._lost()

    async def deposits(self, order_ids: Sequence[str]) -> tuple[OrderDeposits, ...]:
        """See Link.deposits."""
        found = await handover.deposits_of(self.desk, order_ids)
        return tuple(OrderDeposits(key, tuple(rows)) for key, rows in found.items())

    async def reports(self, rows: Sequence[PayoutReport]) -> tuple[ReportKey, ...]:
        """See Link.reports. Old reports come along now and then, in any order."""
        self.told += rows
        sent = list(rows)
        if not self.fate.calm and self.fate.chance.randrange(3) == 0:
            sent += self.fate.chance.sample(self.told, min(3, len(self.told)))
            self.fate.chance.shuffle(sent)
        accepted = await note_payout.note_reports(self.desk, sent)
        self._lost()
        return tuple(ReportKey(r.order_id, r.attempt, r.outcome) for r in accepted)

    async def beat(self, beat: Beat) -> None:
        """See Link.beat."""
        assert await handover.note_beat(self.desk, beat)

    async def close(self) -> None:
        """Nothing to close."""
