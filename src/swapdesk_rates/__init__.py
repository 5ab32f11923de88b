"""What exchanges say coins are worth: a program of its own, in a virtual environment of its own."""
