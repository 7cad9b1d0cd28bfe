# exit 5
import genbench
import torch


@genbench.hookimpl
def sample(n):
    return torch.zeros(n, 8, 8, 3, dtype=torch.uint8)
