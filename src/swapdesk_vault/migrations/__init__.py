"""Schema of the vault's database: forward only, raw SQL, run by `swapdesk-vault init`."""
