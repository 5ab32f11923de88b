"""What things are worth: ticks in, one trustworthy rate or none out."""
