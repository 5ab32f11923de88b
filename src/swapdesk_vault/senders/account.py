"""What senders of account chains share: the next nonce, and what may still be spent."""

from swapdesk_vault.hot_wallet import HotWallet
from swapdesk_vault.payment import CannotPay, UnknownOutflow


class Account:
    """The hot account of one network, as the journal and the node together see it."""

    def __init__(self, wallet: HotWallet, network: str, native: str, address: str) -> None:
        self._wallet = wallet
        self._network, self._native, self._address = network, native, address

    async def require_known(self, used: int, pending: int) -> int:
        """The nonce to allot next. `used` and `pending` are the chain's next nonces.

        UnknownOutflow when the chain has used a nonce that the journal never gave away.
        """
        following = await self._wallet.next_nonce(self._network, self._address, pending)
        if used > following:
            raise UnknownOutflow(
                f"{self._network}: {self._address} used nonce {used - 1},"
                f" the journal gave away those below {following}"
            )
        return following

    async def require_no_gap(self) -> None:
        """CannotPay while a nonce given away was not taken by a node: all later ones would wait."""
        outgoing = await self._wallet.outgoing(self._network, self._address)
        waiting = [each.nonce for each in outgoing if not each.sent]
        if waiting:
            raise CannotPay(f"an earlier payment (nonce {waiting[0]}) was not taken by a node yet")

    async def promised(self, asset: str, used: int) -> int:
        """Units of an asset that live payments will still take, fees included."""
        outgoing = await self._wallet.outgoing(self._network, self._address)
        still = [each for each in outgoing if each.nonce >= used]
        units = sum(each.units for each in still if each.asset == asset)
        fees = sum(each.fee_units for each in still) if asset == self._native else 0
        return units + fees
