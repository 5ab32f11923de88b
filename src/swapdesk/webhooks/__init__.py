"""Telling partners what happened: frozen bodies, signatures, retries."""
