"""Looking for the money with the vault's own eyes: the desk's words are hints, the node decides."""

from collections.abc import Iterable
from typing import Final

from swapdesk.assets import Registry
from swapdesk.chains import codec
from swapdesk.chains.hd import HARDENED
from swapdesk.chains.reader import Reader
from swapdesk.handoff import Binding
from swapdesk_vault.keys import Keyring
from swapdesk_vault.policy import Evidence

#: Accounts that swallow money: nobody has their key.
_ZERO: Final = bytes(codec.EVM_BYTES)


def foreign(binding: Binding, registry: Registry, keyring: Keyring) -> str | None:
    """Why this binding is not one of ours, if it is not: index, address or names are wrong.

    The address is derived again from the vault's own keys. A wrong one stops the site: whoever
    handed it out would collect the customers' money.
    """
    network = registry.networks.get(binding.network)
    if network is None:
        return f"it names the network {binding.network!r}, which this vault does not have"
    source, target = (registry.assets.get(c) for c in (binding.from_asset, binding.to_asset))
    if source is None or target is None or source.network != network.key:
        return "it names an asset that this vault does not have there"
    if not 0 <= binding.index < HARDENED:
        return f"there is no index {binding.index}"
    if binding.address != deposit_address(binding, registry, keyring):
        return f"{binding.address} is not our address at index {binding.index}"
    return None


def deposit_address(binding: Binding, registry: Registry, keyring: Keyring) -> str:
    """The address at the binding's index, from the vault's own keys."""
    family = registry.networks[binding.network].family
    public = keyring.deposit_key(family, binding.index).public
    return codec.address_of_key(binding.network, registry.world, public)


def forbidden(network: str, address: str, registry: Registry) -> str | None:
    """What an address is, if nobody may be paid there: misspelt, nobody's, or a token's."""
    try:
        canonical = codec.check_address(network, registry.world, address)
    except codec.BadAddress as wrong:
        return f"no address of {network}: {wrong}"
    if canonical != address:
        return "not in canonical spelling"
    if address in (codec.evm_address(_ZERO), codec.tron_address(_ZERO)):
        return "the zero address"
    if address.lower() in registry.by_contract(network):
        return "a token contract"
    return None


async def look(
    reader: Reader, binding: Binding, address: str, hints: Iterable[tuple[str, str, str]]
) -> Evidence:
    """What is confirmed at `address` (ours, derived) now, counting each hint once. NodeTrouble."""
    units, first_ms, missing = 0, None, "no deposit is named"
    depth_min = reader.network.confirmations
    for txid, position, block_hash in hints:
        placed = await reader.find(txid, position, block_hash)
        if placed is None:
            missing = f"{txid}:{position} is not in the active chain at {block_hash}"
        elif (placed.transfer.asset, placed.transfer.address) != (binding.from_asset, address):
            missing = f"{txid}:{position} pays another asset or address"
        elif placed.depth < depth_min:
            missing = f"{txid}:{position} has {placed.depth} of {depth_min} confirmations"
        else:
            units += placed.transfer.units
            first_ms = min(first_ms or placed.ref.time_ms, placed.ref.time_ms)
    return Evidence(units, first_ms, missing)
