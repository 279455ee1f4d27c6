"""Execution modes of a step, and the choice of one."""
