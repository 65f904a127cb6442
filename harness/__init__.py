"""Predicts what a split neural network costs over a link, runs it, and says whether the prediction held."""
