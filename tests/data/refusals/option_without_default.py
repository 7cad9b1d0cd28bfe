# exit 2
import genbench
import torch


class G:
    def __init__(self, steps: int):
        self.steps = steps

    @genbench.hookimpl
    def sample(self, n):
        return torch.zeros(n, 3, 8, 8, dtype=torch.uint8)
