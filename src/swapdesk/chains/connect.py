"""From a site's node addresses to the reader of a network."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from swapdesk.assets import Network, Registry
from swapdesk.chains.bitcoin import BitcoinReader
from swapdesk.chains.evm import EvmReader
from swapdesk.chains.reader import Reader
from swapdesk.chains.rpc import Caller, Rpc
from swapdesk.chains.simulated import SimulatedReader

READERS: Final[Mapping[str, Callable[[Network, Registry, Caller], Reader]]] = MappingProxyType(
    {
        "bitcoin": BitcoinReader,
        "evm": EvmReader,
        "simulated": lambda network, _, rpc: SimulatedReader(network, rpc),
    }
)


def open_reader(network: Network, registry: Registry, urls: Sequence[str]) -> Reader:
    """The reader that the registry names for `network`, on the first of `urls`.

    Nothing is connected yet: `require_identity` is the caller's first question. Raises ValueError
    for a network without an address or of a kind that has no reader.
    """
    if network.reader not in READERS:
        known = ", ".join(READERS)
        raise ValueError(
            f"{network.key}: there is no {network.reader!r} reader yet, only {known}; "
            "in the dev world the network can be simulated"
        )
    if not urls:
        raise ValueError(f"{network.key}: no node address is configured")
    try:
        rpc = Rpc(urls[0])
    except ValueError as wrong:
        raise ValueError(f"{network.key}: {wrong}") from None
    return READERS[network.reader](network, registry, rpc)
