"""What fitx does, as plain functions: train, evaluate."""
