"""The vault: the only holder of private keys. It pulls, verifies on its own nodes, signs and pays."""
