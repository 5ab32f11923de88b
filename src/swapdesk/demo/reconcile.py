"""Do the books say what the chains hold? Every chain/* account, to the last unit."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from swapdesk.demo.customer import Customer


class Line(msgspec.Struct, frozen=True):
    """One account of one asset: what the books say, and what the node says. Minor units."""

    account: str
    asset: str
    books: int
    chain: int

    @property
    def agrees(self) -> bool:
        """To the unit."""
        return self.books == self.chain


async def reconcile(
    customer: Customer,
    balances: Sequence[Mapping[str, Any]],
    pay_in: Mapping[str, Sequence[str]],
    hot: Mapping[str, str],
) -> list[Line]:
    """Every asset's deposits and hot wallet, whether the books know of it or not.

    `balances` is `swapdesk books trial-balance --json`, `pay_in` the pay-in addresses by network,
    `hot` the address of the hot wallet by network. The nodes are asked for blocks only, so wait
    until nothing is on its way.
    """
    booked = {(b["account"], b["asset"]): int(b["units"]) for b in balances}
    lines = []
    for asset in customer.registry.assets.values():
        where = {
            f"chain/{asset.network}/deposits": pay_in.get(asset.network, ()),
            f"chain/{asset.network}/hot": (hot[asset.network],),
        }
        for account, addresses in where.items():
            held = 0
            for address in addresses:
                held += await customer.balance(asset, address)
            books = booked.pop((account, asset.code), 0)
            if books or held:
                lines.append(Line(account, asset.code, books, held))
    unknown = [key for key in booked if key[0].startswith("chain/")]
    lines += [Line(account, code, booked[account, code], 0) for account, code in unknown]
    return lines
