"""A model in memory: a function, an object, anything that can be called, through genbench.evaluate;
what the Record shows.
"""

from __future__ import annotations

import functools
import html

import pytest
import torch

import genbench
from genbench._util.errors import PluginFailed, UserError
from genbench.generators.description import describe, in_memory, name_of
from genbench.generators.identity import held_of

SIDE = (3, 8, 8)


def sample_fn(n, seeds):
    return (genbench.uniform(seeds, SIDE) * 255).to(torch.uint8)


class Net(torch.nn.Module):
    """A module as training loops have them: its own train, training and state are torch's,
    and no hooks.
    """

    range = (-1.0, 1.0)

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 192).to(torch.float64)

    def sample(self, n, seeds, labels):
        return (
            torch.tanh(self.layer(genbench.noise(seeds, (4,)).double() + labels[:, None]))
            .view(n, *SIDE)
            .float()
        )

    def reconstruct(self, images):
        return images.float() / 127.5 - 1

    def cost(self):
        return {"parameters": 960, "evaluations": 1}


def evaluated(thing, out, **more):
    return genbench.evaluate(
        thing, dataset="digits", **{"n": 40, "metrics": ("kd",), "out": out, **more}
    )


def test_a_function_has_the_numbers_of_the_same_file(tmp_path):
    """Seeds named are seeds given: the numbers of the command line for a file that says
    the same.
    """
    (tmp_path / "file.py").write_text(
        "import genbench, torch\n\n@genbench.hookimpl\ndef sample(n, seeds):\n"
        "    return (genbench.uniform(seeds, (3, 8, 8)) * 255).to(torch.uint8)\n"
    )
    found, file = (
        evaluated(one, tmp_path / "runs") for one in (sample_fn, str(tmp_path / "file.py"))
    )
    assert [score.value for score in found.scores] == [score.value for score in file.scores]
    assert (found.plan["label"], found.plan["seeding"]) == ("sample_fn", "per image")
    # without source it has no identity
    assert found.id != evaluated(sample_fn, tmp_path / "runs").id


def test_an_object_has_its_methods_as_hooks(tmp_path):
    """Labels, a range, reconstructions and cost of an unmarked torch module;
    its train, training and state are left alone.
    """
    torch.manual_seed(0)
    found = evaluated(Net(), tmp_path / "runs", metrics=("kd", "label_accuracy", "psnr"))
    assert {score.metric: score.status for score in found.scores} == dict.fromkeys(
        ("kd_digits", "label_accuracy_digits", "psnr"), "ok"
    )
    assert found.plan["label"] == "net"
    assert found.plan["identity"]["conditions"] == {"labels": "balanced", "classes": 10}
    assert (found.cost["parameters"], found.cost["dtype"]) == (960, "float64")


@pytest.mark.parametrize(
    "thing",
    [
        lambda n: torch.zeros(n, *SIDE, dtype=torch.uint8),
        functools.partial(torch.randint, 256),
        functools.partial(sample_fn, seeds=torch.arange(3)),
    ],
    ids=["lambda", "partial of torch", "partial"],
)
def test_what_can_be_called_with_n_is_a_generator(thing):
    description = describe(in_memory(thing), name_of(thing), "memory")
    assert description.abilities == {"sample": ("n",)}


def test_the_users_own_function_is_left_as_it_was():
    before = dict(vars(sample_fn))
    in_memory(sample_fn)
    assert dict(vars(sample_fn)) == before


def test_a_callable_object_and_one_with_marked_methods():
    class Called:
        def __call__(self, n, labels):
            return torch.zeros(n, *SIDE)

    class Marked:
        @genbench.hookimpl
        def sample(self, n, indices):
            return torch.zeros(n, *SIDE)

    for thing, names in ((Called(), ("n", "labels")), (Marked(), ("n", "indices"))):
        assert describe(in_memory(thing), name_of(thing), "memory").abilities["sample"] == names


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (
            7,
            (
                r"int in memory is no generator: give a function sample\(n\), or an object with a "
                r"method sample\(n\)"
            ),
        ),
        (lambda count: None, "sample names count, which is not an argument of that hook"),
        (lambda *n: None, "takes \\*n"),
        (lambda: None, "sample does not name n"),
    ],
)
def test_what_is_no_generator_is_refused(tmp_path, thing, said):
    with pytest.raises(UserError, match=said):
        evaluated(thing, tmp_path / "runs")


def test_two_models_in_memory_never_share_a_run_and_the_record_says_which_it_was(tmp_path):
    """The same name and the same text with another level, another net or other weights:
    runs of their own; where it was defined, text and weights are told.
    """

    def of(level):
        def sample(n):
            return torch.full((n, *SIDE), level, dtype=torch.uint8)

        return sample

    def through(net):
        return lambda n, seeds: (
            net(genbench.noise(seeds, (4,)).double()).view(n, *SIDE).clamp(0, 1).mul(255).byte()
        )

    torch.manual_seed(0)
    nets = [Net(), Net()]
    things = [
        of(3),
        of(200),
        through(nets[0].layer),
        through(nets[1].layer),
        nets[0],
        nets[0].sample,
    ]
    found = [evaluated(thing, tmp_path / "runs", metrics=("kd",), n=40) for thing in things[:4]]
    assert len({record.folder for record in found}) == 4
    assert len({tuple(score.value for score in record.scores) for record in found}) == 4
    told = [held_of(describe(in_memory(thing), name_of(thing), "memory")) for thing in things]
    assert [record.plan["memory"] for record in found] == told[:4]
    own = (
        f"{__name__}.test_two_models_in_memory_never_share_a_run_and_the_record_says_which_"
        "it_was.<locals>"
    )
    assert [one["name"] for one in told] == [f"{own}.of.<locals>.sample"] * 2 + [
        f"{own}.through.<locals>.<lambda>"
    ] * 2 + [
        f"{__name__}.Net",
        f"{__name__}.Net.sample",
    ]
    assert told[0] == told[1], "a level in a closure is no weight; the runs are two all the same"
    assert told[0]["state"] == ""
    assert len({one["state"] for one in told[2:5]}) == 3
    assert told[4]["state"] == told[5]["state"]
    with torch.no_grad():
        nets[0].layer.bias[0] += 1
    assert held_of(describe(in_memory(nets[0]), "net", "memory"))["state"] != told[4]["state"]
    assert (
        genbench.evaluate("noise", n=40, metrics="kd", out=tmp_path / "runs").plan["memory"] == {}
    )


def test_what_a_function_returns_is_checked(tmp_path):
    """Floats without a range are refused with the line to add; the function may have it."""

    def grey(n, seeds):
        return genbench.uniform(seeds, SIDE)

    with pytest.raises(
        PluginFailed,
        match=r"grey: sample returned float32 images without a range; declare it: range = \(0, 1\)",
    ):
        evaluated(grey, tmp_path / "runs")
    grey.range = (0, 1)
    assert evaluated(grey, tmp_path / "runs").scores[0].status == "ok"


def test_a_record_shows_itself_and_gives_a_table(tmp_path):
    """A row for each number, in the notebook escaped, in the frame with every field."""
    found = evaluated(sample_fn, tmp_path / "runs", metrics=("kd", "precision"))
    frame, shown = found.frame(), found._repr_html_()
    assert list(frame["metric"]) == ["kd_digits", "precision_digits"]
    assert frame["value"].tolist() == [score.value for score in found.scores]
    assert {"low", "high", "se", "real", "status", "reason", "n"} <= set(frame.columns)
    assert shown.startswith("<table")
    assert all(html.escape(name) in shown for name in frame["metric"])
