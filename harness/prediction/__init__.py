"""ScissionTL: fit, predictors, constraints, ranking (pure: NumPy and the standard library)."""
