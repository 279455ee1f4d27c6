"""Reads YAML text into a tree of values with their places in the file."""
