"""Describe the machine, the packages and the commit that a run was made with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from typing import Any

from genbench._util.lazy_imports import torch

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "pluggy",
    "safetensors",
)


def environment(device: str) -> dict[str, Any]:
    """Where the run was made: versions, device, processors,
    the git commit of the folder one stands in.

    No variables, no command line: they hold secrets.
    """
    versions = {name: _version(name) for name in PACKAGES}
    cuda = device.startswith("cuda")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "device": torch.cuda.get_device_name()
        if cuda
        else platform.processor() or platform.machine(),
        "cuda": torch.version.cuda if cuda else None,
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        **_git(),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any]:
    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *words], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    return {
        "git_commit": commit,
        "git_dirty": bool(ask("status", "--porcelain")) if commit else None,
    }
