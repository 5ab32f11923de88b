"""HTTP: who is calling, in which words, and what we answer."""
