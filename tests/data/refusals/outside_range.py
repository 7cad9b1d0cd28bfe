# exit 5
import genbench
import torch


range = (0, 1)


@genbench.hookimpl
def sample(n):
    return torch.full((n, 3, 8, 8), 255.0)
