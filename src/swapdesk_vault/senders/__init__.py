"""Building and signing payments, one file per kind of chain."""
