"""`python -m swapdesk` is `swapdesk`."""

from swapdesk.run import main

main()
