"""Cases that nobody would write: generated from the description of the API."""
