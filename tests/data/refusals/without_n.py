# exit 2
import genbench
import torch


@genbench.hookimpl
def sample(seeds):
    return torch.zeros(len(seeds), 3, 8, 8, dtype=torch.uint8)
