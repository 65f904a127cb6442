"""Keras models as graphs: the zoo, the cut finder, head and tail models, the request's picture."""
