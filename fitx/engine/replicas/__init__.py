"""A step on several devices: its rows, its random numbers and its variables."""
