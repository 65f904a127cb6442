"""What the slices of a model cost on one tier (TensorFlow), and the profile that is made of it."""
