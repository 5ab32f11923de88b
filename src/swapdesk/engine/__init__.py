"""One file per thing the desk can be asked; each is one transaction."""
