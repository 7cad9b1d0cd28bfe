"""Train a generator through its `train` hook (`genbench train`).

Augmentation, long-tail sampling, checkpoints.
"""
