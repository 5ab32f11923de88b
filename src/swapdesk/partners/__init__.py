"""Who may ask the desk for something, and how often."""
