# exit 2
import genbench
import torch


def sample(n):
    return torch.zeros(n, 3, 8, 8, dtype=torch.uint8)
