"""Compute scores with their intervals from the features of samples and real images.

Imports runs.records, runs.planning and runs.sampling.
"""
