"""What we promised a customer, and where that promise stands."""
