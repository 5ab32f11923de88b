"""Where the hot wallets are paid: the operator sends the site's capital there."""

from swapdesk.chains import codec
from swapdesk_vault.keys import Keyring
from swapdesk_vault.senders.bitcoin import HOT_INDEX
from swapdesk_vault.site import VaultSite


def hot_addresses(site: VaultSite, keyring: Keyring) -> dict[str, str]:
    """Network -> address of its hot wallet, the one that its sender pays from. BadSite."""
    registry = site.registry()
    return {
        key: codec.address_of_key(
            key, registry.world, keyring.hot_key(network.family, HOT_INDEX).public
        )
        for key, network in registry.networks.items()
    }
