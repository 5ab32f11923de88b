"""Pytest plugin: real nodes."""
