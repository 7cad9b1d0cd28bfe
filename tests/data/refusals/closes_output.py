# exit 5
import genbench
import torch


import os


@genbench.hookimpl
def sample(n, indices):
    if indices.min() == 3:
        os.close(1)
    return torch.zeros(n, 3, 8, 8, dtype=torch.uint8)
