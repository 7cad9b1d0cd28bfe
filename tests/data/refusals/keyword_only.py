# exit 2
import genbench
import torch


@genbench.hookimpl
def sample(n, *, seeds):
    return torch.zeros(n, 3, 8, 8, dtype=torch.uint8)
