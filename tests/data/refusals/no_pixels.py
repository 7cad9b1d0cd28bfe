# exit 5
import genbench
import torch


@genbench.hookimpl
def sample(n):
    return torch.zeros(n, 3, 0, 0, dtype=torch.uint8)
