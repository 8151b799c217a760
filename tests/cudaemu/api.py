"""Writes down what the real CuPy offers, for the fake to go by: `python tests/cudaemu/api.py > tests/cudaemu/api.txt`.

Run it where the wheel is installed; no GPU is needed. One line for each public name, with the signature where there is
one; the constants of `cuda.runtime` are left out. `tests/test_parity_cupy.py` compares the stored file with what the
installed wheel says.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

MODULES = (
    *("cupy", "cupy.lib", "cupy.lib.stride_tricks", "cupy.linalg"),
    *("cupy.cuda", "cupy.cuda.compiler", "cupy.cuda.memory", "cupy.cuda.runtime"),
)
_NOT_CUPY = {"annotations"}  # like modules that are not CuPy's, a name that leaks out of its own imports


def _parameters(function: Any) -> str | None:
    """The parameters as Python source, defaults that are not plain values written as `...`; None if unknown."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # methods in Cython tell it in the first line of their documentation
        head = re.match(r"_ndarray_base\.\w+\(self(?:, )?(.*)\)", (function.__doc__ or "").partition("\n")[0])
        return head and re.sub(r"\b(?:_ndarray_base|Py_ssize_t|int) (?=\w)", "", head[1])
    plain = []
    for p in signature.parameters.values():
        known = p.default is p.empty or isinstance(p.default, (int, float, str, type(None)))
        plain.append(p.replace(annotation=p.empty, default=p.default if known else ...))
    text = str(signature.replace(parameters=plain, return_annotation=signature.empty))[1:-1]
    return text.replace("Ellipsis", "...").removeprefix("self, ").removeprefix("self")


def _line(name: str, value: Any) -> str:
    if type(value).__name__ == "ufunc":
        return f"{name} ufunc"
    if not callable(value) or inspect.isclass(value):
        return name
    parameters = _parameters(value)
    return name if parameters is None else f"{name}({parameters})"


def describe() -> Iterator[str]:
    """The lines of api.txt, from the CuPy that is installed."""
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        yield module_name
        for name in sorted(set(dir(module)) - _NOT_CUPY):
            value = getattr(module, name)
            if inspect.ismodule(value) and not value.__name__.startswith("cupy"):
                continue
            if not name.startswith("_") and not (isinstance(value, int) and module_name.endswith("runtime")):
                yield _line(f"{module_name}.{name}", value)
    ndarray = importlib.import_module("cupy").ndarray
    for name in sorted(dir(ndarray)):
        if not name.startswith("_"):
            yield _line(f"cupy.ndarray.{name}", getattr(ndarray, name))


if __name__ == "__main__":
    print("\n".join(describe()))
