"""Small checkpoints of random weights in the formats of other codes,
written as those codes write them: what the tests of the plugins read.
"""

from __future__ import annotations

import argparse
import json
import warnings

import onnx
import torch
import yaml
from helpers.foreign_weights import kept
from helpers.nvidia_files import write_pickle
from onnx import TensorProto, helper
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

import genbench
from genbench.features.extractors import digits
from genbench_plugins._biggan import Generator as BigGAN
from genbench_plugins._biggan_files import _ajbrock
from genbench_plugins._stylegan2 import Generator as StyleGAN2
from genbench_plugins._stylegan2_files import SETTINGS, Architecture

# BigGAN


def biggan(name, folder):
    """A file of ajbrock's or a folder of Hugging Face's,
    and what their code made of its weights.
    """
    weights, found = kept(f"biggan-{name}")
    if name == "huggingface":
        torch.save(weights, folder / "pytorch_model.bin")
        (folder / "config.json").write_text(str(found["config"]))
        return folder, found
    torch.save(weights, folder / "G_ema.pth")
    return folder / "G_ema.pth", found


def taught_biggan(folder):
    """A file of ajbrock's whose images the recogniser takes for the digits that were asked for,
    which those of random weights never are.
    """
    tensors = genbench.load_checkpoint(digits.__file__.replace(".py", ".safetensors"))
    judge = digits.network().eval().requires_grad_(False)
    judge.load_state_dict({name: tensor for name, tensor in tensors.items() if name != "scale"})
    weights, _ = kept("biggan-no-shared")
    learnt = [
        tensor.requires_grad_()
        for name, tensor in weights.items()
        if "stored" not in name and "u0" not in name
    ]
    optimiser, labels = torch.optim.Adam(learnt, 1e-2), torch.arange(20) % 10
    for step in range(40):
        made, found = _ajbrock(weights)
        with torch.device("meta"):
            net = BigGAN(made)
        images = torch.func.functional_call(
            net, found, (genbench.noise(labels + 20 * step, (made.z_dim,)), labels)
        )
        loss = F.cross_entropy(judge(images.mean(1, keepdim=True)), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.save(
        {name: tensor.detach() for name, tensor in weights.items()}, folder / "G_ema_best0.pth"
    )
    return folder / "G_ema_best0.pth"


# Diffusion

FLAGS = {
    "pytorch-ddpm": (
        "--T=10\n--attn=0\n--ch=32\n--ch_mult=1\n--ch_mult=2\n"
        "--img_size=16\n--mean_type=epsilon\n--noparallel\n--train\n--var_type=fixedlarge\n"
    ),
    "cbdm": (
        "--T=10\n--attn=0\n--augm\n--beta_1=0.0001\n"
        "--beta_T=0.03\n--cfg\n--conditional\n--img_size=16\n--var_type=fixedsmall\n"
    ),
}


def ddpm(name, folder, settings=True):
    """A checkpoint as the code writes it, other weights beside the averaged ones,
    and its hyper-parameters beside it; what the code made of it.
    """
    weights, found = kept(f"ddpm-{name}")
    folder.mkdir(exist_ok=True)
    raw = {key: torch.zeros_like(tensor) for key, tensor in weights.items()}
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])
    if name.startswith("ddim"):
        file = folder / "ckpt.pth"
        torch.save(
            [
                {f"module.{key}": tensor for key, tensor in raw.items()},
                optimiser.state_dict(),
                3,
                5000,
                weights,
            ],
            file,
        )
        if settings:
            (folder / "config.yml").write_text(str(found["config"]))
    else:
        file = folder / "ckpt.pt"
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0)
        content = {
            "net_model": raw,
            "ema_model": weights,
            "sched": schedule.state_dict(),
            "optim": optimiser.state_dict(),
            "step": 5000,
        }
        torch.save(content | {"x_T": torch.zeros(2, 3, 16, 16)}, file)
        if settings:
            (folder / "flagfile.txt").write_text(FLAGS[name])
    return file, found


# VQGAN


def sharpened(weights):
    """Weights of a kept case so that its codes differ: positions and tokens count more,
    encodings are not one constant.
    """
    for name, tensor in weights.items():
        silent = name.endswith(".bias") and ("encoder." in name or "quant" in name)
        tensor.mul_(
            40
            if name.endswith("pos_emb")
            else 5
            if name.endswith("tok_emb.weight")
            else 0
            if silent
            else 1
        )
    weights["first_stage_model.quant_conv.weight"] *= 4
    return weights


def vqgan(name, folder):
    """A training's folder as taming-transformers leaves it,
    and what its code made of the weights.
    """
    weights, found = kept(f"vqgan-{name}")
    weights = sharpened(weights)
    for index in ("forward_shuffle_idx", "backward_shuffle_idx"):
        if index in found:
            weights[f"permuter.{index}"] = torch.from_numpy(found[index])
    for layer in range(2):
        weights[f"transformer.blocks.{layer}.attn.mask"] = torch.ones(1, 1, 64, 64).tril()
    weights["first_stage_model.loss.discriminator.main.0.weight"] = torch.zeros(2)
    for inner in ("checkpoints", "configs"):
        (folder / inner).mkdir()
    torch.save(
        {"state_dict": weights, "global_step": 7, "optimizer_states": []},
        folder / "checkpoints/last.ckpt",
    )
    (folder / "configs/2021-04-03T19-39-50-project.yaml").write_text(
        yaml.safe_dump(json.loads(str(found["config"])))
    )
    return folder, found


# StyleGAN2

SMALL = Architecture(
    z_dim=6,
    c_dim=3,
    w_dim=5,
    img_resolution=16,
    img_channels=3,
    num_layers=2,
    channel_base=64,
    channel_max=6,
    conv_clamp=256,
)


def random_net(made, seed=0):
    """A network of random weights in which everything counts: noise, biases, the mean of w."""
    torch.manual_seed(seed)
    net = StyleGAN2(made).requires_grad_(False)
    for name, tensor in net.state_dict().items():
        if name.endswith(("noise_strength", "w_avg", ".bias")):
            tensor.add_(torch.randn_like(tensor) * 0.3)
    return net


def settings_of(made):
    """An architecture in NVIDIA's words."""
    return {
        key: value
        for key, value in json.loads(json.dumps(made.settings())).items()
        if key != "enlarge"
    }


def pickled(made, path):
    """NVIDIA's pickle of a random network."""
    return write_pickle(path, random_net(made), settings_of(made))


def beside_json(made, path):
    """A state dict, and its architecture in a file beside it."""
    torch.save(random_net(made).state_dict(), path)
    path.with_suffix(".json").write_text(json.dumps(settings_of(made)))
    return path


def safetensors(made, path):
    """Safetensors with the architecture in their metadata."""
    save_file(
        {name: tensor.contiguous() for name, tensor in random_net(made).state_dict().items()},
        path,
        {SETTINGS: json.dumps(made.settings())},
    )
    return path


def rosinality(folder):
    """A file as rosinality's train.py writes it, and what was made of its weights."""
    weights, found = kept("stylegan2-rosinality")
    torch.save(
        {
            "g": {},
            "g_ema": weights,
            "args": argparse.Namespace(size=16, latent=16),
            "ada_aug_p": 0.1,
        },
        folder / "550000.pt",
    )
    return folder / "550000.pt", found


# pytorch/examples


class NetG(nn.Module):
    """The layers of pytorch/examples' DCGAN, as its README and its files name them."""

    def __init__(self, nz=8, ngf=4, nc=3):
        super().__init__()
        layers, into = [], nz
        for i, out in enumerate((ngf * 8, ngf * 4, ngf * 2, ngf)):
            layers += [
                nn.ConvTranspose2d(
                    into, out, 4, 1 if i == 0 else 2, 0 if i == 0 else 1, bias=False
                ),
                nn.BatchNorm2d(out),
                nn.ReLU(True),
            ]
            into = out
        self.main = nn.Sequential(
            *layers, nn.ConvTranspose2d(into, nc, 4, 2, 1, bias=False), nn.Tanh()
        )

    def forward(self, z):
        return self.main(z)


def example_dcgan(folder):
    """The network, in evaluation, and its file."""
    torch.manual_seed(0)
    made = NetG()
    for _ in range(5):  # so that the stored statistics are not those of the beginning
        made(torch.randn(16, 8, 1, 1))
    torch.save(made.state_dict(), folder / "netG_epoch_24.pth")
    return made.eval(), folder / "netG_epoch_24.pth"


def example_vae(folder):
    """The tensors, and their file."""
    torch.manual_seed(0)
    layers = {
        "fc1": (400, 784),
        "fc21": (20, 400),
        "fc22": (20, 400),
        "fc3": (400, 20),
        "fc4": (784, 400),
    }
    state = {
        f"{name}.{part}": torch.randn(shape if part == "weight" else shape[:1]) * 0.1
        for name, shape in layers.items()
        for part in ("weight", "bias")
    }
    torch.save(state, folder / "vae.pth")
    return state, folder / "vae.pth"


# Exported networks


class Ramp(nn.Module):
    """Unconditional: an image whose values are a latent's, in a range of one's choice;
    or as bytes.
    """

    def __init__(self, low: float, high: float, whole: bool = False):
        super().__init__()
        self.low, self.high, self.whole = low, high, whole
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, z):
        images = (self.low + (self.high - self.low) * torch.sigmoid(z * self.weight)).view(
            -1, 3, 8, 8
        )
        return images.to(torch.uint8) if self.whole else images


class Tinted(nn.Module):
    """Conditional: a latent's values, darker from class to class."""

    def forward(self, z, labels):
        return torch.tanh(z - labels[:, None] / 5).view(-1, 3, 8, 8)


def script(path, net):
    """A network as torch.jit.save writes it."""
    with warnings.catch_warnings():
        # torch would have it exported; the files are there all the same
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(net), path)
    return path


def graph(path, batch, conditional=True, kind=TensorProto.FLOAT):
    """An ONNX network by hand: an image [n, 3, 4, 4] of tanh(z + label), z [n, 48]."""
    nodes = [
        helper.make_node("Tanh", ["summed"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["images"]),
    ]
    inputs = [helper.make_tensor_value_info("z", kind, [batch, 48])]
    if conditional:
        inputs.append(helper.make_tensor_value_info("y", TensorProto.INT64, [batch]))
        nodes = [
            helper.make_node("Cast", ["y"], ["as_float"], to=kind),
            helper.make_node("Unsqueeze", ["as_float", "last"], ["column"]),
            helper.make_node("Add", ["z", "column"], ["summed"]),
            *nodes,
        ]
    else:
        nodes = [helper.make_node("Identity", ["z"], ["summed"]), *nodes]
    constants = [
        helper.make_tensor("shape", TensorProto.INT64, [4], [-1, 3, 4, 4]),
        helper.make_tensor("last", TensorProto.INT64, [1], [1]),
    ]
    out = helper.make_tensor_value_info("images", kind, [None, 3, 4, 4])
    made = helper.make_model(
        helper.make_graph(nodes, "g", inputs, [out], constants),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    made.ir_version = 8
    onnx.save(made, path)
    return path
