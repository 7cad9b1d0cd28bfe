# exit 2
import genbench
import torch


@genbench.hookimpl
def sample(n):
    raise genbench.UserError("this model wants --n 7")
