"""Series of SQL migration files: which there are, and whether their numbers make sense."""

import re
from pathlib import Path

import attrs

from arbitrade.errors import PluginError

_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")


@attrs.frozen
class MigrationSeries:
    """The migrations of one owner.

    Args:
        namespace: Owner of the series: `core`, or a plugin's name.
        folder: Where its `NNNN_name.sql` files lie.
    """

    namespace: str
    folder: Path

    def files(self) -> tuple[Path, ...]:
        """Return the files in order of application.

        Raises:
            PluginError: The folder is missing or empty, a name is malformed, or the numbers are not
                1, 2, 3, … without gap or twin.
        """
        found = sorted(self.folder.glob("*.sql")) if self.folder.is_dir() else []
        if not found:
            raise PluginError(
                f"{self.namespace}: no migrations in {self.folder}; "
                "put NNNN_name.sql files there or don't register the series"
            )
        for expected, path in enumerate(found, start=1):
            match = _NAME.match(path.name)
            if match is None or int(match[1]) != expected:
                raise PluginError(
                    f"{self.namespace}: migration {path.name} should be {expected:04d}_name.sql; "
                    "numbers start at 0001 and have no gap or twin"
                )
        return tuple(found)
