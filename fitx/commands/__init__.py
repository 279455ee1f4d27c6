"""The commands as plain functions; none imports another."""
