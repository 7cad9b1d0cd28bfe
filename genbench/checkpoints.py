"""The safe readers of weights: nothing in a file is ever executed, and there is no fallback from safe to unsafe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.lazy import safetensors_torch, torch
from genbench.say import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping


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
        return _state_dict(torch.load(path, map_location=device, weights_only=True), path)
    except FileNotFoundError:
        raise UserError(f"checkpoint {path} does not exist") from None
    except UserError:
        raise
    except Exception as error:  # each reader has its own error types; none of them means anything but a wrong file
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise UserError(f"checkpoint {path} is neither safetensors nor a state dict that weights_only accepts: {reason}") from None


def _state_dict(content: Any, path: Path) -> dict[str, torch.Tensor]:
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise UserError(f"checkpoint {path} is not a flat dictionary of tensors")
    return {str(k): v for k, v in content.items()}


def misfit(wanted: Mapping[str, torch.Tensor], came: Mapping[str, torch.Tensor]) -> str:
    """Why these tensors do not fit, in a line naming the first key; "" when they fit in keys and shapes."""
    for key in sorted(set(wanted) | set(came)):
        if key not in came:
            return f"it lacks {key}"
        if key not in wanted:
            return f"it has {key}, which is not known here"
        if wanted[key].shape != came[key].shape:
            return f"{key} has shape {tuple(came[key].shape)}, wanted {tuple(wanted[key].shape)}"
    return ""
