"""The folder of one run: where it is, what is in it, who may write to it."""
