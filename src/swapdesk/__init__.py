"""Swapdesk: a self-hosted instant-exchange desk. This package holds no private key."""
