# exit 5
import genbench
import torch


@genbench.hookimpl
def sample(n):
    return 1 / (n - n)
