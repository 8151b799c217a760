"""Saved weights: safetensors files, which hold named arrays and nothing that could run.

The format is that of https://github.com/huggingface/safetensors; PyTorch and others read it too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import Tensor, asarray
from minigrad.backend import raw, transfer_array
from minigrad.nn.module import Module
from minigrad.nn.optional import need
from minigrad.tensor import wrap


def save(obj: Module | Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the state of a module, or any dict of named Tensors or arrays, to a safetensors file.

    The file appears under its name when it is complete: a failure, or a power cut, leaves an old file as it was.

    Args:
        obj: the Module, whose `state_dict()` is written; or a flat dict.
        path: the file; usually named *.safetensors. Its folder must exist.

    Raises:
        ImportError: safetensors is not installed; says what to install.
        TypeError: something else than a Module or a dict of arrays.
        OSError: the file cannot be written; names it.

    >>> import pathlib, tempfile
    >>> from minigrad import nn
    >>> layer = nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nn.save(layer, pathlib.Path(folder, "layer.safetensors"))
    ...     _ = layer.load_state_dict(nn.load(pathlib.Path(folder, "layer.safetensors")))
    """
    safetensors = need("safetensors.numpy", "nn.save")
    path = Path(path)
    if not isinstance(obj, (Module, Mapping)):
        raise TypeError(f"nn.save takes a Module or a dict of named arrays, got {type(obj).__name__}")
    arrays = {name: _plain(name, v) for name, v in (obj.state_dict() if isinstance(obj, Module) else obj).items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # in the same folder: a rename there is atomic
    try:
        with temporary.open("wb") as file:
            file.write(safetensors.save(arrays))
            file.flush()
            os.fsync(file.fileno())  # or the rename could reach the disk before the contents
        temporary.replace(path)
    except OSError as error:
        raise type(error)(error.errno, f"cannot save to {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a safetensors file: a Tensor on the CPU for each name, ready for `module.load_state_dict`.

    Raises:
        ImportError: safetensors is not installed; says what to install.
        FileNotFoundError: there is no such file.
        ValueError: it is not a safetensors file, or a damaged one.
    """
    safetensors = need("safetensors", "nn.load")
    reader = need("safetensors.numpy", "nn.load")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no saved weights at {path}" + (": it is a folder" if path.is_dir() else ""))
    try:
        return {name: asarray(array) for name, array in reader.load_file(path).items()}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file, or is damaged: {error}") from error


def _plain(name: str, value: Any) -> np.ndarray:
    """A NumPy array in row-major order: safetensors (0.8) writes the memory of any other order as if it were this."""
    if not isinstance(value, Tensor):
        value = np.asarray(value) if isinstance(value, (int, float, list, np.generic)) else value
        if not isinstance(name, str) or not isinstance(raw(value), np.ndarray) or value.dtype.kind not in "fiub":
            raise TypeError(
                f"nn.save takes names with Tensors or arrays of numbers, got {name!r}: {type(value).__name__}"
            )
        value = wrap(value)
    return np.ascontiguousarray(transfer_array(value._array, "cpu")).reshape(value.shape)  # it makes 0-d arrays 1-d
