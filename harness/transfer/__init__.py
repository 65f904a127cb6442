"""What happens to a tensor at a cut: transfer layers (Keras) and wire formats (NumPy)."""
