"""Each store and use case on a real PostgreSQL."""
