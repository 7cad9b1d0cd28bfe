# exit 5
import genbench
import torch


@genbench.hookimpl
def sample(n):
    return [torch.zeros(3, 8 + i % 2, 8, dtype=torch.uint8) for i in range(n)]
