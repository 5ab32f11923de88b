"""`make bench`: how fast one web process is, each figure beside its limit on the same machine."""
