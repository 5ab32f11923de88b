"""Pay-in addresses: an index, drawn from the family's sequence, derived from a public key.

The vault's `init` writes the deposit xpubs; the desk can derive addresses with them and nothing
else. An index is drawn in the order's own transaction and never comes back.
"""

import uuid
from collections.abc import Mapping
from typing import Final

from swapdesk.assets import Asset, Registry
from swapdesk.chains.codec import address_of_key
from swapdesk.chains.hd import DepositKeys
from swapdesk.db import Tx, queries

Q = queries(__package__, "store.sql")

#: Families that have a sequence in the schema (migrations/versions/0001_spine.sql).
FAMILIES: Final = ("bitcoin", "litecoin", "dogecoin", "evm", "tron", "monero")


class PayIn:
    """Derives pay-in addresses of a site."""

    def __init__(self, registry: Registry, xpubs: Mapping[str, str]) -> None:
        """`xpubs`: family -> account xpub. ValueError if a configured network has none."""
        needed = {network.family for network in registry.networks.values()}
        if missing := needed - set(xpubs):
            raise ValueError(f"the vault gave no deposit key for: {', '.join(sorted(missing))}")
        self._registry = registry
        self._keys = {family: DepositKeys(xpubs[family]) for family in needed}

    def address(self, network: str, index: int) -> str:
        """The address at `index` as `network` spells it."""
        key = self._keys[self._registry.networks[network].family].pubkey(index)
        return address_of_key(network, self._registry.world, key)

    async def reserve(self, tx: Tx, asset: Asset, order_id: uuid.UUID) -> tuple[int, str]:
        """Draw an index for `order_id` and store its address for ever; (index, address)."""
        network = self._registry.networks[asset.network]
        assert network.family in FAMILIES
        index = await tx.fetchval(Q.draw_index, f"deposit_index_{network.family}")
        address = self.address(network.key, index)
        await tx.execute(
            Q.keep_address, network.family, index, network.key, address, order_id, asset.code
        )
        return index, address

    async def owns(self, tx: Tx, network: str, address: str) -> bool:
        """True if `address` is one of ours on any network of its family."""
        family = self._registry.networks[network].family
        return bool(await tx.fetchval(Q.knows_address, family, address))
