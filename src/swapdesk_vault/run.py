"""Entry point of the program `swapdesk-vault`."""

from swapdesk_vault.console import app


def main() -> None:
    """Run one command."""
    app()
