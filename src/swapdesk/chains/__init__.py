"""Looking at chains. Nothing here can sign; shared with the vault."""
