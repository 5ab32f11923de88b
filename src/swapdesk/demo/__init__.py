"""The whole desk in one terminal, with real nodes and real swaps."""
