"""The safe readers of weights: nothing in a file is ever executed, and there is no fallback from safe to unsafe."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from genbench.lazy import safetensors_torch, torch
from genbench.say import UserError


def load_checkpoint(path: Path | str, device: Any = "cpu") -> dict[str, torch.Tensor]:
    """The tensors of a weights file: safetensors, or a PyTorch state dict (.pt, .pth, ...) read with weights_only=True; told apart by content.

    UserError for anything else.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            is_safetensors = file.read(9)[8:] == b"{"  # eight bytes of length, then JSON; zip and pickle begin otherwise
        if is_safetensors:
            return safetensors_torch.load_file(path, device=str(device))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what is refused in a line below
            return _state_dict(torch.load(path, map_location=device, weights_only=True), path)
    except FileNotFoundError:
        raise UserError(f"checkpoint {path} does not exist") from None
    except UserError:
        raise
    except Exception as error:  # each reader has its own error types; none of them means anything but a wrong file
        raise UserError(f"checkpoint {path} is neither safetensors nor a plain state dict ({type(error).__name__}); nothing in it was executed") from None


def _state_dict(content: Any, path: Path) -> dict[str, torch.Tensor]:
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise UserError(f"checkpoint {path} is not a flat dictionary of tensors")
    return {str(k): v for k, v in content.items()}
