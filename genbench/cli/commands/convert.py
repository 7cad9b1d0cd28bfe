"""`genbench convert`: another program's checkpoint as safetensors,
which the same generator reads to the same images, and nobody has to trust.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import torch

NVIDIAS = "stylegan2"  # the generator whose pickles are read without it, any of their networks
# what torch before 1.6 writes at the start of its own pickles
LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="IN")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.safetensors")
@click.option(
    "--plugin",
    "-p",
    metavar="NAME",
    help="Which generator reads IN: a name or FILE.py.  [default: stylegan2]",
)
@click.option(
    "--network",
    help=(
        "Of NVIDIA's pickle, which of its networks: G_ema (averaged weights), "
        "G or D.  [default: G_ema]"
    ),
)
@click.option("--force", is_flag=True, help="Write over what is there.")
def command(source: Path, out: Path, plugin: str | None, network: str | None, force: bool) -> None:
    """Write a generator's checkpoint as safetensors, without running what is in it.

    NVIDIA's pickles keep their names; the arguments that the network was made with are the JSON
    init_kwargs in the file's metadata. Of other files (rosinality's, CBDM's, ddim's, ...) what the
    generator's `state` hook gives is written.

    \b
    genbench convert network-snapshot-025000.pkl cats.safetensors
    genbench convert --plugin ddpm ckpt.pt cbdm.safetensors
    """
    from genbench._util.console import answer

    answer(convert(source, out, plugin, network, force=force))


def convert(
    source: Path,
    out: Path,
    plugin: str | None = None,
    network: str | None = None,
    *,
    force: bool = False,
) -> str:
    """Write the checkpoint; returns what was read and what was written, in a line.

    UserError and no file otherwise.
    """
    import json

    from genbench._util.atomic_write import folder_to_write, write
    from genbench._util.checksummed_files import SEAL
    from genbench._util.errors import UserError
    from genbench._util.formatting import clean
    from genbench._util.hashing import content_sha256, file_sha256
    from genbench._util.lazy_imports import safetensors_torch
    from genbench._util.package_version import VERSION

    if out.suffix != ".safetensors":
        raise UserError(
            f"{clean(str(out))}: what is written is safetensors; "
            f"name it {clean(out.stem)}.safetensors"
        )
    if out.is_dir() or (out.exists() and not force):
        raise UserError(
            f"{clean(str(out))} is there already; remove it, choose another name, or --force"
        )
    if not source.exists():
        raise UserError(f"checkpoint {clean(str(source))} is not a file")
    what, tensors, meta = (
        _nvidias(source, network)
        if plugin in (None, NVIDIAS) and _is_pickle(source)
        else _state(source, plugin, network)
    )
    folder_to_write(out.absolute().parent, "the folder of OUT")
    parent = content_sha256(source)
    seal = json.dumps({"genbench": VERSION, "parent": parent, **meta.pop(SEAL)}, sort_keys=True)
    write(
        out,
        safetensors_torch.save(
            {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()},
            {SEAL: seal, **meta},
        ),
    )
    return (
        f"{clean(str(out))}: {what} of {clean(str(source))} (SHA-256 {parent}), "
        f"{len(tensors)} tensors, {out.stat().st_size} bytes, SHA-256 {file_sha256(out)}"
    )


def _is_pickle(source: Path) -> bool:
    """Whether a file is a pickle, but not one of torch's."""
    if source.is_dir():
        return False
    with source.open("rb") as file:
        start = file.read(16)
    # safetensors: eight bytes of length, then JSON
    return start[:1] == b"\x80" and start[8:9] != b"{" and LEGACY not in start


def _nvidias(
    source: Path, network: str | None
) -> tuple[str, dict[str, torch.Tensor], dict[str, Any]]:
    """(what it is, tensors, metadata) of a network in a pickle, by the names that it has there."""
    import json

    from genbench._util.checksummed_files import SEAL
    from genbench.io.nvidia_pickles import load_network

    name = network or "G_ema"
    found = load_network(source, name)
    return (
        name,
        dict(found.tensors),
        {SEAL: {"network": name, "kind": found.kind}, "init_kwargs": json.dumps(found.settings)},
    )


def _state(
    source: Path, plugin: str | None, network: str | None
) -> tuple[str, dict[str, torch.Tensor], dict[str, Any]]:
    """(what it is, tensors, metadata) of a checkpoint as the generator that reads it would
    save it.
    """
    from genbench._util.checksummed_files import SEAL
    from genbench._util.errors import PluginFailed, UserError
    from genbench._util.formatting import clean
    from genbench._util.lazy_imports import torch
    from genbench.generators.generator import construct
    from genbench.generators.load import locate

    description = locate(plugin or NVIDIAS)
    name = description.name
    if network is not None:
        raise UserError(
            f"--network names one of a pickle's of NVIDIA, and {clean(str(source))} is none"
        )
    if (
        description.attributes.get("executes")
        or "state" not in description.abilities
        or "checkpoint" not in description.given
    ):
        raise UserError(
            f"{name} has no `state` hook that would give its weights, so nothing of "
            f"{clean(str(source))} can be converted"
        )
    try:
        tensors = construct(description, {}, source, "cpu", None).call("state")
    except UserError as error:
        if plugin or isinstance(error, PluginFailed):
            raise
        raise UserError(f"{error} (read as {name}'s; another generator's: --plugin NAME)") from None
    if not isinstance(tensors, dict) or not all(
        isinstance(one, torch.Tensor) for one in tensors.values()
    ):
        raise PluginFailed(
            f"{name}: state returned {type(tensors).__name__}; return a dictionary of tensors"
        )
    return f"weights of {name}", tensors, {SEAL: {"generator": name}}
