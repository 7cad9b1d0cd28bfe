"""`genbench datasets`: the real images that generators are held against."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.cli.listings import plain, show_shelf
from genbench.cli.shared_options import data_options

if TYPE_CHECKING:
    from genbench.api.dataset import Dataset

ROWS, COLUMNS = 20, 10  # of the picture: a class to a row
NAMED = 20  # classes whose names and counts go into a line; of more the first and last
OWN = (
    "name",
    "title",
    "resolution",
    "splits",
    "preparation",
    "source",
    "licence",
    "recogniser",
    "protocol",
)


@click.command()
@click.argument("name", required=False, metavar="[NAME|PATH]")
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Write a picture of it: a class to a row.",
)
@click.option(
    "--groups",
    "rule",
    default="shots",
    show_default=True,
    metavar="RULE",
    help="By which rule classes are head, medium and tail.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_options
def command(name: str | None, picture: Path | None, rule: str, as_json: bool) -> None:
    """List the real images, or show one set: a name, a name at a size (imagenet-64),
    a long tail (cifar10-lt), or files of your own.

    \b
    genbench datasets
    genbench datasets digits --picture digits.png
    genbench datasets path/to/folder
    """
    from genbench._util.console import answer
    from genbench._util.errors import UserError

    if name is None:
        if picture is not None:
            raise UserError("--picture shows one data set: give its name")
        show_shelf("datasets", None, as_json)
        return
    from genbench.data.user_datasets import dataset_of

    row = dataset_of(name)
    page = (
        {key: plain(getattr(row, key)) for key in OWN}
        | {"classes": list(row.classes)}
        | _counted(row, rule)
    )
    answer(json.dumps(page, indent=1, ensure_ascii=False) if as_json else _shown(page))
    if picture is not None:
        answer(_drawn(row, picture))


def _counted(row: Dataset, rule: str) -> dict[str, Any]:
    """Images of each class of the first split, and the groups of classes by them;
    or what is missing.
    """
    from genbench.data import long_tail, subsets

    reader = getattr(row, "reader", None)
    if reader is not None and (missing := reader.missing()):
        return {"files": missing}
    left_out = getattr(row, "left_out", ())
    found: dict[str, Any] = {"left_out": list(left_out)} if left_out else {}
    if "train" not in row.splits or len(row.classes) == 1:
        return found
    counts = subsets.train_counts(row)
    groups = long_tail.groups(counts, rule)
    return {
        **found,
        "train_counts": list(counts),
        "groups": {
            "rule": groups.rule,
            **{key: list(classes) for key, classes in groups.of.items()},
        },
    }


def _shown(page: dict[str, Any]) -> str:
    from genbench._util.formatting import fields
    from genbench.cli.listings import words

    names, counts = page["classes"], page.get("train_counts")
    shown = (
        [f"{name} {count}" for name, count in zip(names, counts, strict=True)] if counts else names
    )
    if len(shown) > NAMED:
        shown = [*shown[: NAMED - 1], "...", shown[-1]]
    lines = {key: words(page[key]) for key in OWN} | {
        "classes": f"{len(names)}: {', '.join(shown)}"
    }
    if counts:
        lines["train images"] = f"{min(counts)} to {max(counts)} of a class, {sum(counts)} in all"
    for key, classes in page.get("groups", {}).items():
        lines["groups by" if key == "rule" else key] = (
            classes if key == "rule" else f"{len(classes)}: {_some([names[c] for c in classes])}"
        )
    lines["left out"] = _some(page.get("left_out", []))
    lines["files"] = page.get("files", "")
    return fields(lines)


def _some(names: list[str]) -> str:
    return ", ".join(names if len(names) <= NAMED else [*names[: NAMED - 1], "...", names[-1]])


def _drawn(row: Dataset, picture: Path) -> str:
    """Write the picture: the first images of each class, or of the set where it has one class."""
    from genbench._util.atomic_write import write
    from genbench._util.errors import UserError
    from genbench._util.lazy_imports import np
    from genbench.data.image_grid import grid_png

    if picture.suffix != ".png":
        raise UserError(f"--picture {picture}: a name that ends in .png")
    single = len(row.classes) == 1
    classes = (
        [0]
        if single
        else np.unique(
            np.linspace(0, len(row.classes) - 1, min(ROWS, len(row.classes))).round().astype(int)
        ).tolist()
    )
    wanted = COLUMNS * (COLUMNS if single else 1)
    found: dict[int, list[Any]] = {label: [] for label in classes}
    for image, label in _images(row):
        if label in found and len(found[label]) < wanted:
            found[label].append(image)
        if all(len(some) == wanted for some in found.values()):
            break
    blank = next((np.full_like(some[0], 255) for some in found.values() if some), None)
    if blank is None:
        raise UserError(f"{row.name} has no images to show")
    images = [
        image
        for some in found.values()
        for image in [*some, *[blank] * (-len(some) % COLUMNS if single else wanted - len(some))]
    ]
    write(picture, grid_png(np.stack(images), COLUMNS))
    return f"{picture}: {'the first images' if single else f'row = class ({len(classes)} of {len(row.classes)}), the first images of each'}"  # noqa: E501


def _images(row: Dataset) -> Iterator[tuple[Any, int]]:
    for images, labels in row.open("train" if "train" in row.splits else next(iter(row.splits))):
        yield from zip(images.numpy(), labels.tolist(), strict=True)
