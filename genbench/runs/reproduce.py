"""A finished run held to its word: shards drawn again from its record and compared,
its arithmetic done again from the stored features.

Bits are promised on one machine at one batch size; elsewhere images agree to TOLERANCE grey levels
and features to CLOSE of their length.
"""

from __future__ import annotations

import datetime
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.checksummed_files import Damaged, read_arrays, read_json
from genbench._util.console import aside
from genbench._util.errors import NotComparable, UserError
from genbench._util.formatting import clean
from genbench._util.hashing import sha256
from genbench._util.lazy_imports import np, torch
from genbench._util.package_version import VERSION
from genbench.api import _registry as registry
from genbench.api.validation import source_of
from genbench.data import prompts
from genbench.data.image_checks import sketch
from genbench.data.user_datasets import dataset_of
from genbench.features.extraction import rows_of
from genbench.features.extractor_identity import place_of_vocabulary
from genbench.generators import options
from genbench.generators.generator import Generator, construct
from genbench.generators.identity import code_of, code_of_file, seal_of
from genbench.generators.load import checkpoint_of, device_of, locate
from genbench.io import weights
from genbench.runs.planning.shard_outputs import Probe, probes_of
from genbench.runs.records.environment import environment
from genbench.runs.records.record import PROMPTS, Plan, Record, plan_of
from genbench.runs.sampling import shards, write_shards
from genbench.runs.sampling.cost import Clock
from genbench.runs.sampling.setup import deterministic, networks
from genbench.runs.scoring import rescore
from genbench.runs.scoring.rescore import CLOSE, EXACT, Check

if TYPE_CHECKING:
    from numpy import ndarray

    from genbench.api.dataset import Dataset
    from genbench.generators.description import Description

TOLERANCE = 0.05  # grey levels: the mean difference of two machines' images, or of a quarter's mean
NOTHING = (
    "the entry keeps nothing of its images, and its run's folder is not here; "
    "--shards all draws them all and takes every number"
)
MACHINE = ("platform", "device", "cuda", "tf32")


@dataclass(frozen=True)
class Wish:
    """How to reproduce: how many shards (0: all of them), which,
    and where the generator and its weights are.
    """

    shards: int = 3
    seed: int = 0
    plugin: str = ""
    checkpoint: Path | None = None
    trust: str = ""
    device: str = ""


@dataclass(frozen=True)
class Scene:
    """A record ready to be drawn again."""

    found: Record
    plan: Plan
    generator: Generator
    dataset: Dataset
    folder: Path | None  # with the run's shards, where they are here
    same: bool  # a machine of the same kind, with the same versions
    notes: tuple[str, ...]


def reproduced(found: Record, wish: Wish, out: Path) -> dict[str, Any]:
    """The verdict on a record, as plain data: `verdict` (reproduced, not reproduced, not
    comparable), `checks`, what was drawn and where.
    """
    with deterministic(), aside():
        scene = _scene(found, wish, out)
        every = shards.shards_of(shards.run_blocks(scene.plan))
        chosen = sorted(
            random.Random(wish.seed).sample(every, min(wish.shards or len(every), len(every))),
            key=lambda one: one.name,
        )
        whole = len(chosen) == len(every)
        held = bool(scene.folder or found.shards)  # whether there is anything to hold an image to
        checks = (
            [_shard(scene, one) for one in chosen]
            if held
            else []
            if whole
            else [Check("shards", "unknown", NOTHING)]
        )
        grounds = len(checks)
        checks += _arithmetic(scene, whole=whole)
    verdicts = {one.verdict for one in checks}
    # an interval that holds says nothing of images
    grounded = {one.verdict for one in (checks if whole else checks[:grounds])} & {"equal", "close"}
    said = "not reproduced" if "different" in verdicts else "reproduced" if grounded else ""
    return {
        "schema": 1,
        "run": found.id,
        "label": clean(found.plan["label"]),
        "verdict": said or "not comparable",
        "drawn": len(chosen) if held or whole else 0,
        "of": len(every),
        "seed": wish.seed,
        "machine": "the same kind" if scene.same else "another",
        "checks": [asdict(one) for one in checks],
        "notes": list(scene.notes),
        "environment": environment(scene.plan.device),
        "genbench": VERSION,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _scene(found: Record, wish: Wish, out: Path) -> Scene:
    """The generator of a record, constructed; NotComparable for what is missing here or
    is another.
    """
    plan = plan_of(found)
    word = wish.plugin or (
        plan.origin if plan.origin.endswith(".py") else str(plan.identity["generator"])
    )
    if plan.origin == "memory" and not wish.plugin:
        raise NotComparable(
            "the generator was in memory, and no file says how to make it again; --plugin FILE.py"
        )
    try:
        if (
            word.endswith(".py")
            and not wish.plugin
            and Path(word).is_file()
            and code_of_file(Path(word)) != plan.identity["code"]
        ):
            raise NotComparable(
                f"{word} is not the code that drew this entry, and is not run for it: "
                "--plugin FILE.py names the one to run"
            )
        description, dataset = locate(word), dataset_of(plan.dataset or plan.identity["dataset"])
        checkpoint = checkpoint_of(description, dataset, wish.checkpoint, wish.trust)
        seal = seal_of(description, checkpoint)
        if seal != plan.identity["checkpoint"]:
            wanted = (
                f"weights of SHA-256 {plan.identity['checkpoint']}"
                if plan.identity["checkpoint"]
                else "no weights"
            )
            raise NotComparable(
                f"the entry was made with {wanted}, here are {seal or 'none'}: --checkpoint FILE"
            )
        chosen = options.chosen(
            _words(plan.identity["options"]), description.options, description.name
        )
    except UserError as error:
        raise error if isinstance(error, NotComparable) else NotComparable(str(error)) from None
    plan = replace(plan, device=_device(wish.device or plan.device), places=_places(plan))
    generator = construct(description, chosen, checkpoint, plan.device, dataset)
    folder = next(
        (
            one
            for one in (Path(found.folder), out / found.id)
            if found.folder and (one / "shards").is_dir()
        ),
        None,
    )
    plan = replace(plan, prompts=_prompts(plan, folder, dataset))
    return Scene(
        found,
        plan,
        generator,
        dataset,
        folder,
        _same(found, plan),
        tuple(_notes(found, plan, description)),
    )


def _words(chosen: Mapping[str, Any]) -> list[str]:
    """Options as words of the command line."""
    return [
        f"{name}={'none' if value is None else str(value).lower() if isinstance(value, bool) else value}"  # noqa: E501
        for name, value in chosen.items()
    ]


def _device(word: str) -> str:
    """The record's device where it is here, else the CPU."""
    return device_of(word) if not word.startswith("cuda") or torch.cuda.is_available() else "cpu"


def _places(plan: Plan) -> dict[str, str]:
    """The weights files of the plan's extractors that are on this machine."""
    found = {}
    for name in sorted(
        {name for protocol in plan.protocols.values() for name in protocol["extractors"]}
    ):
        row = registry.find("extractors", name)
        for key, of in ((name, row.weights), (place_of_vocabulary(name), row.vocabulary)):
            if of and (there := weights.find(of, source_of(row.load).parent, {})):
                found[key] = str(there.path)
    return found


def _prompts(plan: Plan, folder: Path | None, dataset: Dataset) -> tuple[str, ...]:
    said = plan.identity["conditions"].get("prompts")
    if said is None:
        return ()
    if "template" in said:
        return prompts.of_classes(said["template"], dataset.classes)
    try:
        return tuple(read_json((folder or Path()) / PROMPTS)["prompts"])
    except (FileNotFoundError, Damaged, KeyError):
        raise NotComparable("its prompts lie in the folder of the run, which is not here") from None


def _same(found: Record, plan: Plan) -> bool:
    """Whether this is a machine as the record's, as far as it says."""
    here, there = environment(plan.device), found.environment
    return (
        all(here.get(key) == there.get(key) for key in MACHINE)
        and here["versions"] == there.get("versions")
        and plan.device == found.plan["device"]
    )


def _notes(found: Record, plan: Plan, description: Description) -> Iterator[str]:
    if code_of(description) != plan.identity["code"]:
        yield "the plugin's code is not the one of the entry"
    if plan.device != found.plan["device"]:
        yield f"drawn on {plan.device}, the entry on {found.plan['device']}"
    if plan.seeding == "per call":
        yield (
            "seeded per call: images follow from the generator's own use of the global "
            "random numbers"
        )


def _shard(scene: Scene, shard: shards.Shard) -> Check:
    """One shard drawn again, against the stored images or features,
    else against what the record keeps of it.
    """
    plan = scene.plan
    labels, places = shards.labels_for(plan), shards.prompt_places(plan)
    own = None if labels is None else labels[shard.indices]
    texts = None if places is None else [plan.prompts[place] for place in places[shard.indices]]
    images = scene.generator.draw(
        shard.indices, plan.identity["first_seed"], own, plan.batch_size, plan.quantise, texts
    )
    pixels = images.cpu().numpy()
    what, seal = f"shard {shard.name}", sha256(pixels.tobytes())
    kept = _stored(scene, shard, "images")
    if kept is not None:
        return _compared(what, kept[0]["images"], pixels)
    seals = [
        one
        for one in (
            scene.found.shards.get(shard.name, ("", ""))[0],
            *(of[1].get("images", "") for of in _features(scene, shard).values()),
        )
        if one
    ]
    if seals and all(seal.startswith(one) for one in seals):
        return Check(what, "equal", f"{len(pixels)} images, by their SHA-256")
    if rows := [
        probe for probe in probes_of(plan).values() if probe.name in _features(scene, shard)
    ]:
        return _by_features(scene, shard, images, rows)
    return _by_sketch(
        scene, what, scene.found.shards.get(shard.name, ("", ""))[1], pixels, bool(seals)
    )


def _stored(
    scene: Scene, shard: shards.Shard, probe: str
) -> tuple[dict[str, ndarray[Any, Any]], dict[str, str]] | None:
    """A file of the run's folder; None where it is missing or damaged."""
    try:
        return (
            read_arrays(scene.folder / "shards" / f"{shard.name}.{probe}.safetensors")
            if scene.folder
            else None
        )
    except (FileNotFoundError, Damaged):
        return None


def _features(
    scene: Scene, shard: shards.Shard
) -> dict[str, tuple[dict[str, ndarray[Any, Any]], dict[str, str]]]:
    """The stored rows of features of a shard by probe."""
    plain = [
        probe
        for probe in probes_of(scene.plan).values()
        if probe.extractor and probe.of_images and not probe.sums
    ]
    # of texts too: compared by the images alone
    rows = [probe for probe in plain if not registry.find("extractors", probe.extractor).wants]
    return {probe.name: found for probe in rows if (found := _stored(scene, shard, probe.name))}


def _compared(what: str, stored: ndarray[Any, Any], drawn: ndarray[Any, Any]) -> Check:
    if stored.shape != drawn.shape:
        return Check(what, "different", f"images {list(drawn.shape)}, stored {list(stored.shape)}")
    apart = np.abs(stored.astype(np.float64) - drawn)
    if not apart.any():
        return Check(what, "equal", f"{len(drawn)} images, to the bit")
    said = (
        f"{len(drawn)} images, {(apart > 0).mean():.2%} of values differ, by {apart.mean():.3g} "
        f"grey levels on average, {apart.max():.3g} at most"
    )
    return Check(what, "close" if apart.mean() <= TOLERANCE else "different", said)


def _by_features(
    scene: Scene, shard: shards.Shard, images: torch.Tensor, probes: Sequence[Probe]
) -> Check:
    """Against the stored features: the images were not kept."""
    loaded, worst = networks(scene.plan), 0.0
    for probe in probes:
        stored = _features(scene, shard)[probe.name][0][probe.output].astype(np.float64)
        drawn = (
            rows_of(loaded[probe.extractor], images, [probe.output])[probe.output]
            .cpu()
            .numpy()
            .astype(np.float64)
        )
        worst = max(
            worst,
            float(np.linalg.norm(stored - drawn)) / max(float(np.linalg.norm(stored)), 1e-300),
        )
    said = f"{len(images)} images, their features differ by {worst:.2g} of their length"
    return Check(f"shard {shard.name}", "close" if worst <= CLOSE else "different", said)


def _by_sketch(
    scene: Scene, what: str, stored: str, drawn: ndarray[Any, Any], hashed: bool
) -> Check:
    """Against the mean grey levels that the record keeps."""
    if not stored:
        if hashed and scene.same:
            return Check(what, "different", "its SHA-256 is another, on a machine as the entry's")
        return Check(
            what,
            "unknown",
            "its SHA-256 is another, as it may be on another machine" if hashed else NOTHING,
        )
    apart = max(
        abs(float(a) - float(b)) for a, b in zip(stored.split(), sketch(drawn).split(), strict=True)
    )
    said = f"{len(drawn)} images, the mean grey levels of their quarters differ by {apart:.3g}"
    return Check(what, "close" if apart <= TOLERANCE else "different", said)


def _arithmetic(scene: Scene, *, whole: bool) -> Iterator[Check]:
    """The numbers again: from the stored features; where they are not here but all is drawn,
    from features made now; else the intervals alone.
    """
    if scene.folder is not None:
        close = EXACT if scene.same else CLOSE
        yield from rescore.numbers(
            scene.found, scene.plan, scene.generator, scene.dataset, scene.folder, close
        )
    elif whole:
        with tempfile.TemporaryDirectory() as place:
            write_shards.draw(
                write_shards.Work.of(
                    scene.plan, scene.generator, networks(scene.plan), Path(place), Clock()
                )
            )
            yield from rescore.numbers(
                scene.found, scene.plan, scene.generator, scene.dataset, Path(place), CLOSE
            )
    else:
        yield from rescore.of_leave_outs(scene.found, scene.plan)
