# exit 5
import genbench
import torch


@genbench.hookimpl
def sample(n):
    return torch.zeros(n, 3, 8, 8, dtype=torch.int64)
