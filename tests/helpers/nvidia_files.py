"""Pickles of the form that NVIDIA's training code writes, made without it:
every module is reduced to a call of torch_utils.persistence.
"""

from __future__ import annotations

import pickle
import sys
import types
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import nn

# what NVIDIA's own loader would execute
SOURCE = "from pathlib import Path\nPath('owned.ed').touch()\nprint('I ran')\n"


def _module(name, **content):
    made = types.ModuleType(name)
    vars(made).update(content)
    for value in content.values():
        value.__module__ = name
    return made


def _reconstruct_persistent_obj(meta):
    raise AssertionError("the file's own reader was called")


class EasyDict(dict):
    """Theirs gives attributes besides."""


FAKES = {
    "torch_utils": _module("torch_utils"),
    "torch_utils.persistence": _module(
        "torch_utils.persistence", _reconstruct_persistent_obj=_reconstruct_persistent_obj
    ),
    "dnnlib": _module("dnnlib"),
    "dnnlib.util": _module("dnnlib.util", EasyDict=EasyDict),
}


@contextmanager
def their_names():
    """Their modules exist, so that a pickler can name them."""
    before = {name: sys.modules.get(name) for name in FAKES}
    sys.modules.update(FAKES)
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})


class _Pickler(pickle.Pickler):
    version = 6

    def reducer_override(self, obj):
        if not isinstance(obj, nn.Module):
            return NotImplemented
        state = {**vars(obj), "weight_gain": np.float64(0.5), "_init_args": ()}
        meta = {
            "type": "class",
            "version": self.version,
            "module_src": SOURCE,
            "class_name": type(obj).__name__,
            "state": state,
        }
        return _reconstruct_persistent_obj, (meta,)


def easy(settings):
    """Nested dictionaries as theirs."""
    return EasyDict(
        {key: easy(value) if isinstance(value, dict) else value for key, value in settings.items()}
    )


def write_pickle(path, network, settings, *, protocol=4, version=6, **others):
    """A file whose G_ema is a module made with these settings; others:
    what else the file's dictionary holds.
    """
    network._init_kwargs = easy(settings)
    with their_names(), Path(path).open("wb") as file:
        pickler = _Pickler(file, protocol)
        pickler.version = version
        pickler.dump(
            {
                "training_set_kwargs": EasyDict(path="theirs.zip"),
                "G": None,
                "D": None,
                "augment_pipe": None,
                "G_ema": network,
                **others,
            }
        )
    return Path(path)
