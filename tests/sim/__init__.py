"""The whole of it from one seed."""
