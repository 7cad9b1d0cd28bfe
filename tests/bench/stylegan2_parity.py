"""The images of the plugin stylegan2 beside those of NVIDIA's own network,
from files that NVIDIA's own code wrote.

    git clone https://github.com/NVlabs/stylegan2-ada-pytorch theirs
    python tests/bench/stylegan2_parity.py theirs
        float32: 256 pixels, on the CPU about five minutes
    python tests/bench/stylegan2_parity.py theirs --device cuda
        and the layers in half precision, in which the four highest resolutions are published

Networks of random weights, in which biases, the strength of noise and the mean of w are random too.
Each is pickled as training does, read by the plugin without running what is in the file, and both
draw the same latents; counted are the pixels (of all channels) at most one grey level apart. Their
licence (non-commercial) allows this use; nothing of theirs is copied here.
"""

from __future__ import annotations

import argparse
import itertools
import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

IMAGES = 4
LAYERS = {"num_layers": 4}  # of the mapping


def theirs(size: int, classes: int, architecture: str, half: int) -> torch.nn.Module:
    from training.networks import Generator

    synthesis = {
        "channel_base": 4096,
        "channel_max": 128,
        "architecture": architecture,
        "num_fp16_res": half,
        "conv_clamp": 256 if half else None,
    }
    sizes = {"z_dim": 64, "c_dim": classes, "w_dim": 64, "img_resolution": size, "img_channels": 3}
    made = (
        Generator(**sizes, mapping_kwargs=LAYERS, synthesis_kwargs=synthesis)
        .eval()
        .requires_grad_(False)
    )
    for name, tensor in made.state_dict().items():
        if name.endswith(("noise_strength", "w_avg", ".bias")):
            tensor.add_(torch.randn_like(tensor) * 0.3)
    return made


def grey(images: torch.Tensor) -> np.ndarray:
    """As generate.py writes them."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8).cpu().numpy().astype(int)


def compared(
    net: torch.nn.Module, file: Path, device: str, psi: float, noise: str, half: bool
) -> np.ndarray:
    """How many levels each pixel differs."""
    from genbench_plugins.stylegan2 import StyleGAN2

    ours = StyleGAN2(file, device=device, truncation=psi, noise=noise, seeds="theirs")
    ours.half = half
    seeds = torch.arange(IMAGES, device=device)
    labels = seeds % max(net.c_dim, 1)
    z = torch.from_numpy(
        np.stack([np.random.RandomState(seed).randn(net.z_dim) for seed in range(IMAGES)])
    ).to(device)
    onehot = (
        torch.nn.functional.one_hot(labels, net.c_dim).to(device)
        if net.c_dim
        else torch.zeros(IMAGES, 0, device=device)
    )
    images = net.to(device)(z, onehot, truncation_psi=psi, noise_mode=noise, force_fp32=not half)
    return np.abs(grey(images) - grey(ours.sample(IMAGES, seeds, labels)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128, 256])
    args = parser.parse_args()
    sys.path.insert(0, str(args.checkout))
    from torch_utils.ops import bias_act, upfirdn2d

    for kernel in (bias_act, upfirdn2d):
        # their reference code in PyTorch, not their CUDA kernels
        kernel._inited, kernel._plugin = True, None
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    print(
        f"on {torch.cuda.get_device_name() if args.device == 'cuda' else 'the CPU'}, "
        f"torch {torch.__version__}; {IMAGES} images a line"
    )
    print(
        "| side | classes | architecture | psi | noise | precision | equal | within one level | "
        "most |\n|---|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for size, classes, architecture, half in itertools.product(
            args.sizes,
            (0, 10),
            ("skip", "orig", "resnet"),
            (0, 4) if args.device == "cuda" else (0,),
        ):
            torch.manual_seed(size + classes)
            net = theirs(size, classes, architecture, half)
            file = Path(folder, "theirs.pkl")
            file.write_bytes(
                pickle.dumps(
                    {
                        "G": None,
                        "D": None,
                        "G_ema": net,
                        "training_set_kwargs": {},
                        "augment_pipe": None,
                    }
                )
            )
            for psi, noise in itertools.product((1.0, 0.7), ("const", "none")):
                apart = compared(net, file, args.device, psi, noise, half > 0)
                shares = f"{(apart == 0).mean():.4%} | {(apart <= 1).mean():.4%} | {apart.max()}"
                print(
                    (
                        f"| {size} | {classes} | {architecture} | {psi} | {noise} | "
                        f"{'half' if half else 'float32'} | {shares} |"
                    ),
                    flush=True,
                )


if __name__ == "__main__":
    main()
