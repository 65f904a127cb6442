"""Predicted against measured: statistics and the gate. Pure: NumPy and the standard library."""
