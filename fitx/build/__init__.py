"""Builds an experiment: the only room that makes parts."""
