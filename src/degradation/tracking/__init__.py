"""Weights & Biases: the mirror of each run, copies and uploads made later, and ways to see them.

All that knows W&B is here, and nothing of it may stop or change a run.
"""
