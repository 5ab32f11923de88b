"""Dialects: what each wire says, word for word."""
