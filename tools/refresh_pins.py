"""Pin the whole dependency tree in the root pyproject.toml, between its two marker lines.

    uv run nox -s pins              take the newest versions that fit together
    uv run nox -s pins -- --keep    keep what is pinned; add what is new, drop what is gone
    uv run nox -s pins -- --check   change nothing; fail when `--keep` would

The tree is resolved for every platform and every Python the project supports, all extras and
groups included.  Versions go into `[tool.uv] constraint-dependencies` and, for what builds our
wheels, into `build-constraint-dependencies`.  Unlike a lock file these name no package index, so
that the project installs from whichever one a machine is set up to use.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN = "# pins: begin (written by `nox -s pins`)"
END = "# pins: end"
UV = os.environ.get("UV") or shutil.which("uv") or "uv"
# The part of each distribution that decides what it depends on.
MEMBER_FILES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--keep", action="store_true", help="keep what is pinned already")
    choice.add_argument("--check", action="store_true", help="fail if the pins are not up to date")
    arguments = parser.parse_args()

    file = ROOT / "pyproject.toml"
    before = file.read_text(encoding="utf-8")
    after = with_pins(before, resolve(keep=arguments.keep or arguments.check))
    if arguments.check:
        if after != before:
            sys.exit(
                "pyproject.toml: the pins don't match the dependencies; run `nox -s pins -- --keep`"
            )
        return
    file.write_text(after, encoding="utf-8")
    pins = tomllib.loads(after)["tool"]["uv"]["constraint-dependencies"]
    sys.stdout.write(f"pyproject.toml: {len(pins)} pins\n")


def resolve(*, keep: bool) -> str:
    """Return the lines between the markers for the tree as the distributions declare it now."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        copy_declarations(copy)
        root = copy / "pyproject.toml"
        text = root.read_text(encoding="utf-8")
        if not keep:
            text = with_pins(text, "")
        root.write_text(text, encoding="utf-8")
        exported = uv(
            *("export", "--all-packages", "--all-extras", "--all-groups", "--no-emit-workspace"),
            *("--no-hashes", "--no-annotate", "--no-header", "--quiet"),
            folder=copy,
        )
        backends = sorted(set(build_requirements()))
        compiled = uv(
            *("pip", "compile", "--universal", "--python-version", "3.12", "--no-annotate"),
            *("--no-header", "--quiet", "-"),
            folder=copy,
            text="\n".join(backends),
        )
    return table("constraint-dependencies", exported) + table(
        "build-constraint-dependencies", compiled
    )


def copy_declarations(copy: Path) -> None:
    for pyproject in declarations():
        target = copy / pyproject.parent.relative_to(ROOT)
        target.mkdir(parents=True, exist_ok=True)
        for name in MEMBER_FILES:
            if (pyproject.parent / name).is_file():
                shutil.copy(pyproject.parent / name, target / name)
    shutil.copy(ROOT / ".python-version", copy / ".python-version")


def declarations() -> Iterator[Path]:
    yield ROOT / "pyproject.toml"
    for pattern in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "uv"
    ]["workspace"]["members"]:
        yield from sorted(ROOT.glob(f"{pattern}/pyproject.toml"))


def build_requirements() -> Iterator[str]:
    for pyproject in declarations():
        yield from tomllib.loads(pyproject.read_text(encoding="utf-8"))["build-system"]["requires"]


def table(name: str, requirements: str) -> str:
    """Return a TOML list of the exact pins in a requirements text."""
    pins = exact_pins(requirements.splitlines())
    return f"{name} = [\n" + "".join(f"    {quoted(pin)},\n" for pin in pins) + "]\n"


def exact_pins(lines: Iterable[str]) -> list[str]:
    """Return `name==version` for each package, with markers where it has several versions."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in lines:
        pin, _, marker = line.partition(" ; ")
        if match := re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", pin.strip()):
            found.setdefault(match[1].lower(), []).append((match[2], marker.strip()))
    return [
        f"{name}=={version}" + (f" ; {marker}" if len(versions) > 1 and marker else "")
        for name, versions in sorted(found.items())
        for version, marker in versions
    ]


def quoted(text: str) -> str:
    return f'"{text}"' if '"' not in text else f"'{text}'"


def with_pins(text: str, pins: str) -> str:
    """Return pyproject's `text` with what stands between the markers replaced."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f"pyproject.toml: expected the lines {BEGIN!r} and {END!r} once each")
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{pins}{END}{rest.partition(END)[2]}"


def uv(*arguments: str, folder: Path, text: str = "") -> str:
    # The environment `uv run` made must not be taken for the copy's own.
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    answer = subprocess.run(
        [UV, *arguments], cwd=folder, env=environment, input=text, capture_output=True, text=True
    )
    if answer.returncode:
        sys.exit(f"uv {' '.join(arguments)} failed:\n{answer.stderr}")
    return answer.stdout


if __name__ == "__main__":
    main()
