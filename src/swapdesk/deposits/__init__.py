"""What arrived at our pay-in addresses, one row per output."""
