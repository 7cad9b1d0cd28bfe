# exit 2
import genbench
import torch


@genbench.hookimpl
def latents(seeds):
    return seeds
