"""Double entry: every unit has an owner, every entry adds up to nothing."""
