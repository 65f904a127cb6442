"""Sweeps that survive: frozen before the first cell, in a recorded order, started again where they were.

freezing   the code of a sweep, copied into its folder, and this process started anew from the copy
planning   its cells, composed and written down (`sweep.json`) or found there
serial     one cell after the other on this host          conf/hydra/launcher/cells.yaml
cluster    cells on Ray; what is timed on named testbeds  conf/hydra/launcher/ray.yaml
"""
