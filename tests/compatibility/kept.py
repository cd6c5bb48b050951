"""What commit 2ea1949 left behind, and what its own code made of it; see data/SOURCES.md."""

from pathlib import Path
from typing import Any

import orjson
import zstandard

DATA = Path(__file__).parent / "data"
FIGURES: dict[str, Any] = orjson.loads((DATA / "figures.json").read_bytes())
RECORDINGS: dict[str, dict[str, Any]] = FIGURES["recordings"]
JOURNALS: dict[str, dict[str, Any]] = FIGURES["journals"]


def unpacked_journal(account: str, state_folder: Path) -> Path:
    """Put a journal where a bot with this state folder looks for it; return its folder."""
    folder = state_folder / "journal" / account
    folder.mkdir(parents=True)
    for segment in sorted((DATA / "journals" / account).iterdir()):
        content = zstandard.ZstdDecompressor().decompress(segment.read_bytes())
        (folder / segment.stem).write_bytes(content)
    return folder
