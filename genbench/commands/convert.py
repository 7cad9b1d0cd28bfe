"""`genbench convert`: a network in NVIDIA's pickle as safetensors, which any program can read without running code."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="IN.pkl")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.safetensors")
@click.option("--network", default="G_ema", show_default=True, help="Which of the file's networks: G_ema (averaged weights), G or D.")
def command(source: Path, out: Path, network: str) -> None:
    """Write a network of a StyleGAN pickle as safetensors, without running what is in it.

    Tensors keep their names; the arguments that the network was made with are the JSON init_kwargs in the file's metadata.

    \b
    genbench convert network-snapshot-025000.pkl cats.safetensors
    genbench run --plugin stylegan2 --checkpoint cats.safetensors --dataset cats/
    """
    from genbench.say import answer

    answer(convert(source, out, network))


def convert(source: Path, out: Path, network: str) -> str:
    """Write the network; returns what was written, in a line. UserError and no file otherwise."""
    import json

    from genbench.files import SEAL, file_sha256, folder_to_write, write
    from genbench.lazy import safetensors_torch
    from genbench.pickles import load_network
    from genbench.say import VERSION, UserError, clean

    if out.suffix != ".safetensors":
        raise UserError(f"{clean(str(out))}: what is written is safetensors; name it {clean(out.stem)}.safetensors")
    if out.exists():
        raise UserError(f"{clean(str(out))} is there already; remove it or choose another name")
    found = load_network(source, network)
    folder_to_write(out.absolute().parent, "the folder of OUT")
    said = {"genbench": VERSION, "parent": file_sha256(source), "network": network, "kind": found.kind}
    tensors = {name: tensor.contiguous() for name, tensor in found.tensors.items()}
    write(out, safetensors_torch.save(tensors, {SEAL: json.dumps(said, sort_keys=True), "init_kwargs": json.dumps(found.settings)}))
    return f"{clean(str(out))}: {network} of {clean(str(source))}, {len(tensors)} tensors, {out.stat().st_size} bytes, SHA-256 {file_sha256(out)}"
