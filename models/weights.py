"""Pretrained weights: files that others wrote, loaded into the models here."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from minigrad import nn

M = TypeVar("M", bound=nn.Module)
Path = str | os.PathLike[str]
WRAPPERS = ("state_dict", "model_state_dict", "model")  # under which training scripts keep the state dict


def load_weights(model: M, path: Path | None, rename: Callable[[str], str | None] = lambda key: key) -> M:
    """Load a file of weights into a model and return the model; None leaves it as it is.

    Args:
        model: the module; nothing of it is changed when this raises.
        path: a file that `nn.load` reads: .safetensors, .pth, .pt or .npz. It holds a state dict, or a checkpoint that
            has one under "state_dict", "model_state_dict" or "model"; the prefix "module." of a model that was trained
            on several GPUs is taken off.
        rename: the new name for each key of the file; None leaves an entry out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or does not fit the model; names it, and lists what is missing, unexpected or of
            another shape.
    """
    if path is None:
        return model
    try:
        state: Any = nn.load(path)
    except FileNotFoundError as error:
        error.add_note("`weights` is the path of a file: nothing is downloaded, and names of weights are not known")
        raise
    for name in WRAPPERS:
        if isinstance(state.get(name), Mapping):
            state = state[name]
            break
    renamed: dict[str, Any] = {}
    for key, value in state.items():
        new = rename(re.sub(r"^module\.", "", key))
        if new is not None:
            renamed[new] = value
    try:
        model.load_state_dict(renamed)
    except ValueError as error:
        error.add_note(f"while loading {os.fspath(path)}")
        raise
    return model
