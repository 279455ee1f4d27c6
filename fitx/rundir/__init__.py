"""The folder of one run: its place, its files, and the lock that allows one writer."""
