"""`python -m swapdesk_vault` is `swapdesk-vault`."""

from swapdesk_vault.run import main

main()
