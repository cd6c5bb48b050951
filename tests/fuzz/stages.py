"""Compiles the stages of the hot path once more, so that a read gone astray shows.

    uv run python tests/fuzz/stages.py address build/address
    LD_PRELOAD=… PYTHONPATH=build/address uv run python tests/fuzz/decode.py

`bounds` has Cython check every index it can, `address` has the compiler watch every access to
memory and every operation C does not define.  `arbitrade.hot` finds them where PYTHONPATH points,
before those that are installed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
STAGES = {
    "core": "src/arbitrade/hot/_loop.py",
    "plugins/kraken": "src/arbitrade_kraken/_hot.py",
    "plugins/triangular": "src/arbitrade_triangular/_hot.py",
}
_SANITIZE = "-fsanitize=address,undefined"
_FLAGS = {
    "bounds": {},
    "address": {
        # Comparing and copying have to be calls: what the compiler inlines isn't watched.
        "CFLAGS": f"-g -fno-builtin {_SANITIZE} -fno-sanitize-recover=undefined",
        "LDFLAGS": _SANITIZE,
    },
}

sys.path.insert(0, str(ROOT / "tools"))

from compile_stages import RECORD, compile_in_child, digest  # noqa: E402


def build(kind: str, target: Path) -> None:
    """Compile all stages into `target`, a folder for PYTHONPATH."""
    os.environ.update(_FLAGS[kind])
    for member, stage in STAGES.items():
        source = ROOT / member / stage
        folder = target / Path(stage).relative_to("src").parent
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as work:
            root = Path(work, "root")
            copy = root / stage
            copy.parent.mkdir(parents=True)
            # Cython finds the declarations of a module by the packages it is in.
            for package in Path(stage).parents[:-2]:
                (root / package / "__init__.py").touch()
            shutil.copy(source.with_suffix(".pxd"), copy.with_suffix(".pxd"))
            copy.write_text(_checked(source.read_text(encoding="utf-8")), encoding="utf-8")
            compile_in_child(root, Path(work), [stage])
            for built in Path(work).glob(f"{source.stem}.*"):
                shutil.copy(built, folder)
        record = {"source": digest(source), "failure": None}
        (folder / f"{source.stem}{RECORD}").write_text(json.dumps(record), encoding="utf-8")


def preload() -> str:
    """Return what LD_PRELOAD has to name: the compiler's own run-time library, loaded first."""
    compiler = os.environ.get("CC", "cc").split()
    found = subprocess.run(
        [*compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(found).is_file():
        sys.exit(f"{compiler[0]} has no libasan.so; take gcc: CC=gcc")
    return found


def _checked(source: str) -> str:
    """Return a stage's source with every check on that it switches off."""
    for check in ("boundscheck", "initializedcheck"):
        assert f"{check}=False" in source
        source = source.replace(f"{check}=False", f"{check}=True")
    return source


def main() -> None:
    """Build one kind, or print what to preload."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=[*_FLAGS, "preload"])
    parser.add_argument("target", type=Path, nargs="?", default=Path("build"))
    chosen = parser.parse_args()
    if chosen.kind == "preload":
        print(preload())
        return
    build(chosen.kind, chosen.target)


if __name__ == "__main__":
    main()
