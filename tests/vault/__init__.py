"""The vault: policy, journal, senders, hostile desks, kills."""
