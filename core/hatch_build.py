"""Takes core's migrations, which live at the top of the repository, along into what is built."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class MigrationsHook(BuildHookInterface[Any]):
    """Forces the migrations into sdist and wheel; an editable install reads them in place."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folder, from the repository or from an unpacked sdist."""
        if version == "editable":
            return
        root = Path(self.root)
        unpacked = root / "migrations"
        source = unpacked if unpacked.is_dir() else root.parent / "migrations"
        if not any(source.glob("*.sql")):
            raise FileNotFoundError(f"{source}: no migrations there; build from the repository")
        target = "migrations" if self.target_name == "sdist" else "arbitrade/_migrations"
        build_data["force_include"][str(source)] = target
