# exit 5
import genbench
import torch


class G:
    def __init__(self):
        raise OSError("no such model")

    @genbench.hookimpl
    def sample(self, n):
        return torch.zeros(n, 3, 8, 8, dtype=torch.uint8)
