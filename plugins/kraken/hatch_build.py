"""Compiles the stage of the hot path: see tools/compile_stages.py, in an sdist beside this."""

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1] / "tools")]

from compile_stages import make_hook  # noqa: E402


def get_build_hook() -> type:
    """Return what hatchling calls."""
    return make_hook()
