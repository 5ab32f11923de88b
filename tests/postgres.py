"""Pytest plugin: a throwaway PostgreSQL, and a fresh database for every test."""
