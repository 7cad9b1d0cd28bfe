"""CLIP's image towers: what goes in and comes out equals clean-fid's,
torch-fidelity's and CMMD's code, from the same (random) weights in its format.
"""

import sys
import types
import warnings

import numpy as np
import pytest
import torch
from helpers.published_weights import apart, clip_parameters, images, pil, save_torchscript
from PIL import Image
from torch_fidelity.feature_extractor_clip import FeatureExtractorCLIP, build_model

from genbench.features.extractors import clip
from genbench.features.load_network import CLIP, standardised

SMALL = {"img_size": 224, "patch_size": 32, "embed_dim": 128, "depth": 2, "num_heads": 2}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Random weights as OpenAI publishes them, of a tower of two layers."""
    path = tmp_path_factory.mktemp("clip") / "ViT-B-32.pt"
    save_torchscript(clip_parameters(128, 2, 32, 224, 512), path)
    return path


@pytest.fixture
def small(monkeypatch):
    """The rows of ViT-B/32 with that tower; torch-fidelity takes its sizes from the file."""
    monkeypatch.setattr(clip, "B_32", SMALL)


@pytest.fixture(scope="module")
def theirs(archive):
    """torch-fidelity's extractor around the archive."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit.load
        return FeatureExtractorCLIP(
            "clip-vit-b-32", ["clip"], feature_extractor_weights_path=str(archive)
        )


def clip_towers(tmp_path, parameters):
    """The same parameters as files in OpenAI's and in Hugging Face's format."""
    torch.save(parameters, tmp_path / "openai.pt")
    swaps = {
        "transformer.resblocks": "vision_model.encoder.layers",
        "attn.out_proj": "self_attn.out_proj",
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
    }
    swaps |= {
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
        "class_embedding": "vision_model.embeddings.class_embedding",
    }
    swaps |= {
        "positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "conv1": "vision_model.embeddings.patch_embedding",
    }
    swaps |= {"ln_pre": "vision_model.pre_layrnorm", "ln_post": "vision_model.post_layernorm"}
    theirs = {
        "text_model.final_layer_norm.weight": torch.ones(3),
        "visual_projection.weight": parameters["visual.proj"].T,
        "logit_scale": torch.ones(()),
    }
    for full, tensor in parameters.items():
        if not full.startswith("visual.") or full == "visual.proj":
            continue
        name = _swapped(full.removeprefix("visual."), swaps)
        parts = zip("qkv", tensor.chunk(3), strict=True) if "in_proj" in name else [("", tensor)]
        theirs |= {
            name.replace("attn.in_proj_", f"self_attn.{which}_proj."): part for which, part in parts
        }
    torch.save(theirs, tmp_path / "hugging_face.bin")
    return tmp_path / "openai.pt", tmp_path / "hugging_face.bin"


def _swapped(name, swaps):
    for ours, other in swaps.items():
        name = name.replace(ours, other)
    return name


def test_clip_reads_both_formats(tmp_path):
    """A file in OpenAI's names and one in Hugging Face's, of the same parameters,
    give the same tower; its output is not the wrong way round.
    """
    openai, hugging_face = clip_towers(tmp_path, clip_parameters(128, 2, 32, 224, 128))
    x = standardised(images(2, 224, 224), CLIP)
    first, second = (clip.read_tower(path, 128, SMALL)(x) for path in (openai, hugging_face))
    assert torch.equal(first, second)
    exact, theirs = (
        clip.read_tower(openai, 128, SMALL).double(),
        _tower_of_torch_fidelity(torch.load(openai)).double(),
    )
    # an epsilon or an activation of another CLIP would show
    assert apart(exact(x.double()), theirs(x.double())) < 1e-12


def _tower_of_torch_fidelity(parameters):
    return build_model(dict(parameters), torch.float32).visual


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("shape", [(32, 32), (240, 300)])
def test_clip_tf1_equals_torch_fidelity(archive, theirs, shape):
    """`clip-vit-b-32-tf1` is torch-fidelity's extractor, uint8 images to embedding."""
    batch = images(2, *shape)
    (expected,) = theirs(batch)
    assert apart(clip.CLIP_B_32_TF1.load("cpu", archive)(batch)["embedding"], expected) < 1e-5


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("shape", [(32, 32), (227, 300), (301, 64)])
def test_clip_equals_clean_fid(archive, theirs, shape, monkeypatch):
    """`clip-vit-b-32` is clean-fid's CLIP mode, its own preprocessing and wrapper,
    around the same tower.
    """
    # clean-fid imports OpenAI's package, which is not on the package index
    stub = types.ModuleType("clip")
    stub.load = lambda name, device: (
        types.SimpleNamespace(eval=lambda: None, encode_image=theirs.model.visual),
        None,
    )
    monkeypatch.setitem(sys.modules, "clip", stub)
    from cleanfid.clip_features import CLIP_fx, img_preprocess_clip

    batch = images(2, *shape)
    seen = [
        torch.from_numpy(img_preprocess_clip(image.permute(1, 2, 0).numpy()))
        .permute(2, 0, 1)
        .float()
        for image in batch
    ]
    expected = CLIP_fx("ViT-B/32", device="cpu")(torch.stack(seen))
    assert apart(clip.CLIP_B_32.load("cpu", archive)(batch)["embedding"], expected) < 1e-5


@pytest.mark.parametrize("shape", [(32, 32), (401, 350)])
def test_clip_336_prepares_as_cmmd(tmp_path, shape, monkeypatch):
    """`clip-vit-l-14-336` sees the middle square through PIL's 8-bit bicubic, standardised:
    CMMD's preparation image by image.
    """
    seen = []
    monkeypatch.setattr(clip, "read_tower", lambda *_: _Sees(seen))
    batch = images(2, *shape)
    clip.CLIP_L_14_336.load("cpu", tmp_path)(batch)
    side = min(shape)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    for image, ours in zip(batch, seen[0], strict=True):
        square = (
            pil(image).crop((left, top, left + side, top + side)).resize((336, 336), Image.BICUBIC)
        )
        x = (np.asarray(square).astype(np.float32) / 255 - np.float32(CLIP[0])) / np.float32(
            CLIP[1]
        )
        assert apart(ours, torch.from_numpy(x).permute(2, 0, 1)) < 1e-6


class _Sees(torch.nn.Module):
    """A network that keeps what it is given."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def forward(self, x):
        self.seen.append(x)
        return x.mean((2, 3))


def test_b_32_itself(tmp_path):
    """The tower of the row takes the published file's shapes and is torch-fidelity's of
    that file.
    """
    parameters = clip_parameters(768, 12, 32, 224, 512)
    torch.save(parameters, tmp_path / "ViT-B-32.pt")
    x = standardised(images(2, 224, 224), CLIP)
    assert (
        apart(
            clip.read_tower(tmp_path / "ViT-B-32.pt", 512, clip.B_32)(x),
            _tower_of_torch_fidelity(parameters)(x),
        )
        < 1e-5
    )


def test_the_large_network(tmp_path):
    """The network of `clip-vit-l-14-336` takes the published file's shapes and gives 768 numbers an
    image, finite and not of unit length.
    """
    torch.save(clip_parameters(1024, 24, 14, 336, 768), tmp_path / "ViT-L-14-336px.pt")
    (embedding,) = clip.CLIP_L_14_336.load("cpu", tmp_path / "ViT-L-14-336px.pt")(
        images(1, 32, 48)
    ).values()
    assert embedding.shape == (1, *clip.CLIP_L_14_336.outputs.values())
    assert torch.isfinite(embedding).all()
    assert abs(float(embedding.norm()) - 1) > 0.1
