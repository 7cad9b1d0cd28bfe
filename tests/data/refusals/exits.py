# exit 5
import genbench
import torch


@genbench.hookimpl
def sample(n):
    raise SystemExit(0)
