"""Schema of the desk's database: forward only, raw SQL, run by `swapdesk migrate`."""
