"""What the slices of a model cost on one tier, timed there (TensorFlow)."""
