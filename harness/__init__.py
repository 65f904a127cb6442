"""Predicts what a split neural network costs over a real link, runs it, and says whether the prediction held."""
