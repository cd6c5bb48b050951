"""Takes core's migrations along, which live at the top of the repository, and compiles its stage.

See tools/compile_stages.py for the latter; an sdist has it beside this file.
"""

import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "tools")]

from compile_stages import make_hook  # noqa: E402


def get_build_hook() -> type:
    """Return what hatchling calls."""

    class CoreHook(make_hook()):  # type: ignore[misc]
        """Forces the migrations into sdist and wheel; an editable install reads them in place."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Add the folder, from the repository or from an unpacked sdist."""
            super().initialize(version, build_data)
            if version == "editable":
                return
            root = Path(self.root)
            unpacked = root / "migrations"
            source = unpacked if unpacked.is_dir() else root.parent / "migrations"
            if not any(source.glob("*.sql")):
                raise FileNotFoundError(f"{source}: no migrations there; build from the repository")
            target = "migrations" if self.target_name == "sdist" else "arbitrade/_migrations"
            build_data["force_include"][str(source)] = target

    return CoreHook
