"""What the documentation says is true: its programs run, its examples are answers."""
