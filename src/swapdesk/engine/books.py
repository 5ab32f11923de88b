"""The books for the operator: what is in them, and what the operator puts in."""

from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.handoff import HotBalance
from swapdesk.ledger import entries
from swapdesk.ledger import store as ledger
from swapdesk.orders import vault_words


async def trial_balance(desk: Desk) -> list[entries.Posting]:
    """Every account with its balance; orders and partners are summed up."""
    async with desk.db.transaction() as tx:
        return await ledger.trial_balance(tx)


async def add_capital(desk: Desk, asset_code: str, units: int, reference: str) -> bool:
    """Record coins the operator sent to the hot wallet; False when `reference` is known already.

    Refused INVALID for an unknown asset or nothing at all.
    """
    asset = desk.registry.find(asset_code)
    if asset is None or units <= 0 or not reference:
        raise Refused(No.INVALID, "name an offered asset, a positive amount and a reference")
    async with desk.db.transaction() as tx:
        entry = entries.capital(reference, asset.network, asset.code, units)
        return await ledger.post(tx, desk.world, entry)


async def hot_balances(desk: Desk) -> list[HotBalance]:
    """What the vault last said it holds."""
    async with desk.db.transaction() as tx:
        return await vault_words.hot_balances(tx)
