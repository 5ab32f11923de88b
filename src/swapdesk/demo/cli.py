"""`swapdesk demo`: the whole desk on this machine, and real swaps through it."""

from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT_STATE: Final = Path(".demo")

app = typer.Typer(invoke_without_command=True)


@app.callback(invoke_without_command=True)
def demo(
    context: typer.Context,
    *,
    once: Annotated[
        bool,
        typer.Option("--once", envvar="ONCE", help="End after the swaps; status 0 if all is well."),
    ] = False,
    state: Annotated[
        Path, typer.Option(envvar="SWAPDESK_DEMO", help="Folder for everything the demo writes.")
    ] = DEFAULT_STATE,
) -> None:
    """Run everything on this machine and do real swaps: bitcoind (regtest), anvil, web, worker, vault.

    Tron is SIMULATED: there is no node of it here. Everything listens on free loopback ports and
    ends with this command. The desk stays up afterwards, with its URL and credentials in
    .demo/env, until Ctrl-C.

    Examples:

        swapdesk demo

        swapdesk demo --once

        source .demo/env; swapdesk demo pay btc bcrt1q... 0.01
    """
    context.obj = state
    if context.invoked_subcommand is None:
        from swapdesk.demo.main import main

        raise SystemExit(main(state, once=once))


@app.command()
def pay(
    context: typer.Context,
    asset: Annotated[str, typer.Argument(help="btc, eth, usdt_eth, usdc_eth, trx, usdt_trc20")],
    address: Annotated[str, typer.Argument(help="Pay-in address of an order.")],
    amount: Annotated[str, typer.Argument(help="In whole coins: 0.01")],
) -> None:
    """Send a real deposit from the demo's customer, while `swapdesk demo` is up elsewhere.

    Prints the transaction id; the demo mines a block every second.

    Example:

        swapdesk demo pay btc bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080 0.01
    """
    import asyncio

    from swapdesk.chains.codec import BadAddress, check_address
    from swapdesk.chains.reader import NodeTrouble
    from swapdesk.demo.customer import Customer, Purse
    from swapdesk.money import BadAmount, parse

    async def send(purse: Purse) -> str:
        async with Customer(purse) as customer:
            known = customer.registry.find(asset)
            if known is None:
                there = ", ".join(customer.registry.assets)
                raise typer.BadParameter(f"the demo has no {asset!r}; there are: {there}")
            to = check_address(known.network, "dev", address)
            return await customer.pay(known, to, parse(amount, known.decimals))

    try:
        typer.echo(asyncio.run(send(Purse.load(context.obj))))
    except FileNotFoundError:
        _fail(f"no demo has run in {context.obj}; start `swapdesk demo` first, or name its --state")
    except (BadAddress, BadAmount) as wrong:
        _fail(str(wrong))
    except NodeTrouble as trouble:
        _fail(f"the node does not take it; is `swapdesk demo` up? {trouble}")


def _fail(why: str) -> None:
    typer.echo(f"swapdesk: {why}", err=True)
    raise SystemExit(1)
