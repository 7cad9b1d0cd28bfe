"""Long-tailed data sets: a row around a row, its references by name,
and what a record says of it.
"""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from genbench._util.errors import UserError
from genbench.api import _registry as registry
from genbench.api.dataset import Dataset
from genbench.data.long_tail import Cut, chosen
from genbench.data.subsets import described, long_tailed, train_counts, train_labels
from genbench.data.user_datasets import dataset_of
from genbench.generators.seeded_noise import labels_of

DIGITS = registry.find("datasets", "digits")
COUNTS = (87, 56, 36, 23, 15, 9, 6, 4, 2, 1)


def whole(dataset, split):
    return tuple(torch.cat(parts) for parts in zip(*dataset.open(split), strict=True))


def toy(sizes=(40, 30, 20), batch=7, splits=("train", "test")):
    """A labelled set in batches that cut across classes; image i shows the number i."""
    labels = torch.from_numpy(
        np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes))
    )

    def opened(split):
        for at in range(0, len(labels), batch):
            here = labels[at : at + batch]
            yield (
                torch.arange(at, at + len(here), dtype=torch.uint8)
                .view(-1, 1, 1, 1)
                .expand(-1, 3, 4, 4)
                .contiguous(),
                here,
            )

    names = tuple(map(str, range(len(sizes))))
    return dataclasses.replace(
        DIGITS,
        name=f"toy{len(sizes)}",
        classes=names,
        resolution=4,
        splits=dict.fromkeys(splits, len(labels)),
        open=opened,
    )


def test_digits_lt_is_cut_as_told():
    """The training split has the counts of imbalance 50, whose images are LDAM's choice in the
    base's order; the others are as they were.
    """
    row = dataset_of("digits-lt")
    assert (row.name, row.counts, row.splits["train"]) == ("digits-lt-ir50", COUNTS, sum(COUNTS))
    images, labels = whole(row, "train")
    all_images, all_labels = whole(DIGITS, "train")
    kept = np.sort(chosen(all_labels.numpy(), COUNTS))
    assert torch.equal(images, all_images[kept])
    assert torch.equal(labels, all_labels[kept])
    assert torch.bincount(labels).tolist() == list(COUNTS)
    for split, base in {
        "heldout": "heldout",
        "rest": "rest",
        "balanced-train": "train",
        "balanced-test": "heldout",
    }.items():
        assert torch.equal(whole(row, split)[0], whole(DIGITS, base)[0])
        assert row.fingerprint(split) == DIGITS.fingerprint(base)
        assert row.splits[split] == DIGITS.splits[base]
    assert (
        row.fingerprint("train") == Dataset.fingerprint(row, "train") != DIGITS.fingerprint("train")
    )


def test_a_cut_is_streamed_whatever_the_batches():
    """Batches that cut across classes give the same images in the same order, and none is empty."""
    first, second = (long_tailed(toy(batch=batch), Cut(5.0)) for batch in (7, 90))
    assert all(map(torch.equal, whole(first, "train"), whole(second, "train")))
    assert all(len(images) for images, _ in first.open("train"))
    assert first.counts == (30, 13, 6)


def test_every_order_is_another_data_set():
    """Index, reversed and seeded orders and the kind are in the name,
    and so in the run's identity and the board.
    """
    words = [
        "digits-lt-ir50",
        "digits-lt-ir50-reversed",
        "digits-lt-ir50-order3",
        "digits-lt-ir50-step",
        "digits-lt-ir10",
    ]
    rows = [dataset_of(word) for word in words]
    assert [row.name for row in rows] == words
    assert len({row.fingerprint("train") for row in rows}) == len(rows)
    assert rows[1].counts == COUNTS[::-1]
    assert dataset_of("digits-lt").fingerprint("train") == rows[0].fingerprint("train")


def test_real_images_are_pooled_once():
    """The cut split is a part of the whole one: real against real takes the whole one in its place,
    and no alias beside it.
    """
    row, protocols = dataset_of("digits-lt"), registry.every("protocols")
    assert row.pool(protocols["digits-balanced-test"]) == ("balanced-train", "heldout")
    assert row.pool(protocols["balanced-train"]) == ("heldout", "rest", "balanced-train")
    assert (
        row.pool(protocols["digits-longtailed-train"])
        == row.pool(protocols["torch-fidelity"])
        == ("train",)
    )
    assert DIGITS.pool(protocols["digits"]) == ("train", "heldout")
    assert DIGITS.pool(protocols["torch-fidelity"]) == ("train", "heldout", "rest")


def test_the_default_protocol_is_the_base_own_for_long_tails_or_the_fields():
    """Digits have protocols of their own; a set without a test split is held against the whole
    training set.
    """
    assert dataset_of("digits-lt").protocol == "digits-balanced-test"
    assert (
        long_tailed(dataclasses.replace(toy(), protocol="torch-fidelity"), Cut(5.0)).protocol
        == "balanced-test"
    )
    assert (
        long_tailed(
            dataclasses.replace(toy(splits=("train",)), protocol="torch-fidelity"), Cut(5.0)
        ).protocol
        == "balanced-train"
    )
    for row in (
        dataset_of("digits-lt"),
        long_tailed(dataclasses.replace(toy(), name="toyx"), Cut(5.0)),
    ):
        assert row.protocol in registry.standing("protocols")


def test_a_record_says_counts_groups_and_cut():
    """Counts by class, the groups with their rule, and how the set was cut;
    a balanced set has one group and no cut.
    """
    found = described(dataset_of("digits-lt-ir50-reversed"))
    assert found["train_counts"] == list(COUNTS[::-1])
    assert found["groups"] == {
        "rule": "thirds (shots leaves many empty)",
        "many": [6, 7, 8, 9],
        "medium": [3, 4, 5],
        "few": [0, 1, 2],
    }
    assert found["imbalance"] == {"ratio": 50.0, "kind": "exp", "order": "reversed"}
    plain = described(DIGITS)
    assert (plain["train_counts"], plain["groups"]["rule"], "imbalance" in plain) == (
        [87] * 10,
        "shots",
        False,
    )
    assert described(DIGITS, "oltr")["groups"]["rule"] == "oltr"


def test_counts_are_read_once():
    """The labels of a training split are read in one pass,
    and a cut set knows its counts without any.
    """
    passes = []
    base = toy((9, 9))
    counted = dataclasses.replace(
        base, name="counted", open=lambda split: passes.append(split) or base.open(split)
    )
    assert train_counts(counted) == (9, 9)
    assert train_labels(counted).tolist() == [int(c) for c in whole(base, "train")[1]]
    assert train_counts(long_tailed(counted, Cut(3.0))) == (9, 3)
    assert passes == ["train"]


class Named(Dataset):
    """A set that knows its classes without a look at its pictures."""

    def labels(self, split):
        return np.repeat([0, 1], (8, 4))


def test_a_set_that_knows_its_labels_is_not_read_through():
    """The counts of such a set cost no pass over its images."""
    base = toy((8, 4))
    fields = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    assert train_counts(Named(**{**fields, "name": "named", "open": pytest.fail})) == (8, 4)


WRONG = [
    (lambda: long_tailed(dataclasses.replace(DIGITS, classes=("all",)), Cut(5.0)), "has no labels"),
    (lambda: dataset_of("digits-lt-ir50-lt-ir2"), "is long-tailed already"),
    (lambda: dataset_of("digits-lt-ir100"), "at most --imbalance 87"),
    (lambda: dataset_of("digitz-lt"), "digits"),
    (lambda: dataset_of("imagenet-lt"), "ImageNet-LT is a fixed list of files"),
    (lambda: dataset_of("imagenet-64-lt"), "--dataset imagenet-64 --imbalance 100"),
    (lambda: dataset_of("places365-lt"), "--dataset places365 --imbalance 100"),
    (
        lambda: long_tailed(
            dataclasses.replace(toy(), name="notrain", splits={"test": 90}), Cut(5.0)
        ),
        "has no training split, it has test",
    ),
]


@pytest.mark.parametrize(("call", "line"), WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_what_cannot_be_cut_is_refused_in_a_line(call, line):
    """A set without labels, a tail of a tail, a class left empty, an unknown name,
    a name that the literature has for a list of files.
    """
    with pytest.raises(UserError) as error:
        call()
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def run(cli, *words):
    status, out, err = cli(
        "run",
        "--plugin",
        "real",
        "--n",
        "40",
        "--metrics",
        "fd",
        "--leaderboards",
        "none",
        *words,
        "--json",
    )
    assert status == 0, err
    return json.loads(out)


def test_a_run_on_a_long_tail_says_it_in_plan_and_record(cli, here):
    """--imbalance names the data set, the reference is the held-out balanced one,
    and the record holds counts and groups.
    """
    found = run(cli, "--dataset", "digits", "--imbalance", "0.02")
    assert found["dataset"] == described(dataset_of("digits-lt-ir50"))
    assert found["plan"]["identity"]["dataset"] == "digits-lt-ir50"
    (name, protocol), *more = found["plan"]["protocols"].items()
    assert (name, protocol["real"], more) == (
        "digits-balanced-test",
        ["balanced-train", "heldout"],
        [],
    )
    assert found["scores"][0]["real"] is not None
    again = run(cli, "--dataset", "digits-lt")
    assert again["id"] == found["id"]
    assert run(cli, "--dataset", "digits")["id"] != found["id"]


def test_references_are_never_mixed(cli, here):
    """One run under two references: two protocols, two boards, other numbers;
    a protocol of the base fits its long-tailed row.
    """
    both = (
        "--protocol",
        "digits-balanced-test",
        "--protocol",
        "digits-balanced-train",
        "--protocol",
        "digits",
    )
    found = run(cli, "--imbalance", "50", *both)
    values = {score["protocol"]: score["value"] for score in found["scores"]}
    assert values["digits"] == values["digits-balanced-test"] != values["digits-balanced-train"]
    boards = {(p["dataset"], name) for name, p in found["plan"]["protocols"].items()}
    assert len(boards) == 3


def test_a_reference_that_is_not_there_is_told(cli, here):
    """The long-tailed references want a long-tailed set;
    another data set's protocol is none of it.
    """
    status, _, err = cli(
        "run", "--plugin", "noise", "--dataset", "digits", "--protocol", "digits-balanced-train"
    )
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert (
        "protocol digits-balanced-train is for long-tailed sets, and digits is whole: "
        "--imbalance 100"
    ) in err


def test_labels_by_the_training_frequencies_are_the_cuts(cli, here):
    """--labels training draws by the long-tailed counts, which are in the run's identity."""
    status, out, err = cli(
        "run",
        "--plugin",
        "dcgan",
        "--dataset",
        "digits-lt",
        "--labels",
        "training",
        "--n",
        "50",
        "--dry-run",
        "--json",
    )
    assert (status, "dcgan has no weights for digits-lt-ir50" in err) == (2, True)
    (here / "grey.py").write_text(
        "import genbench\nimport torch\n\n\n@genbench.hookimpl\n"
        "def sample(n, labels):\n    return torch.zeros(n, 3, 32, 32, dtype=torch.uint8)\n"
    )
    words = ("--plugin", "grey.py", "--dataset", "digits-lt", "--n", "200", "--dry-run", "--json")
    status, out, err = cli("run", *words, "--labels", "training")
    conditions = json.loads(out)["identity"]["conditions"]
    assert conditions["frequencies"] == [count / sum(COUNTS) for count in COUNTS]
    labels = labels_of("training", 4000, 10, np.arange(4000), conditions["frequencies"])
    share = np.bincount(labels, minlength=10) / 4000
    assert np.abs(share - np.array(conditions["frequencies"])).max() < 4 * 0.5 / np.sqrt(4000)
    status, out, _ = cli("run", *words, "--labels", "iid")
    assert json.loads(out)["identity"]["conditions"] == {"labels": "iid", "classes": 10}


def test_a_record_says_how_its_checkpoint_was_trained(cli, here):
    """Mode, counts and how often each class's images were seen come from the checkpoint
    into the record.
    """
    words = ("--imbalance", "50", "--steps", "3", "--tail", "oversample", "--power", "0.5")
    assert cli("train", "--plugin", "vae", *words, "--out", "vae.safetensors")[0] == 0
    words = (
        "--checkpoint",
        "vae.safetensors",
        "--dataset",
        "digits-lt",
        "--n",
        "40",
        "--metrics",
        "fd",
        "--leaderboards",
        "none",
        "--json",
    )
    status, out, err = cli("run", "--plugin", "vae", *words)
    assert status == 0, err
    training = json.loads(out)["plan"]["training"]
    assert training["tail"] == {"mode": "oversample", "power": 0.5}
    assert (training["dataset"], training["steps"], training["train_counts"]) == (
        "digits-lt-ir50",
        "3",
        list(COUNTS),
    )
    assert len(training["epochs_of_an_image"]) == 10
