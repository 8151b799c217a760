"""Packages that only some functions need: imported when they are used, with a clear error where they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType

NAMES = {"PIL": "pillow"}  # packages that are installed under another name than they are imported by


def need(module: str, user: str) -> ModuleType:
    """Import an optional module on behalf of `user`, a name for the error message.

    Raises:
        ImportError: the module cannot be imported: says who needs it, the original reason, and what to install.

    >>> need("json", "the example").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = NAMES.get(module.partition(".")[0], module.partition(".")[0])
        raise ImportError(
            f"{user} needs the package {package}, which cannot be imported ({error}): `pip install {package}`, or "
            f"install minigrad with its extra `train`",
            name=package,
        ) from error
