"""A plugin for pytest: the tests marked `gpu` on the stand-in for CuPy, so that they are known to run.

    python -m pytest -p tests.pretended -m gpu

What only a device can show, streams and the memory of its pool, is skipped.
"""

from __future__ import annotations

import sys

from tests.cudaemu import fake_cupy

sys.modules["cupy"] = fake_cupy.cupy
