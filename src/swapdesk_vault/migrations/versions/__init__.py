"""Revisions of the vault's database, oldest first."""
