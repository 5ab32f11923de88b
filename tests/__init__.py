"""Tests of the desk and its vault. Order of cost: pure, rooms, dialects, vault, chains, sim."""
