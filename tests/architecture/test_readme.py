import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    path
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "core/*.md",
        "plugins/*/*.md",
        "web/*.md",
        "migrations/*.md",
    )
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.M | re.S)


def commands() -> list[str]:
    """Return the README's shell lines."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", document.read_text(encoding="utf-8")), re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def test_quick_start_is_two_commands_each_complete_on_a_fresh_machine():
    complete = [line for line in commands() if line.startswith("python3 -m pip install uv && ")]
    assert len(complete) == 2
    main, tests = (line.partition(" && ")[2] for line in complete)
    assert main.startswith("python3 -m uv run arbitrade detect tests/data/")
    assert tests == "python3 -m uv run pytest"


def test_systems_whose_python_refuses_pip_are_told_what_to_do():
    assert "pipx install uv" in README


@pytest.mark.parametrize(
    "command",
    [line.partition("uv run ")[2] for line in commands() if "uv run arbitrade detect " in line],
)
def test_main_command_of_the_readme_runs_as_written(command, tmp_path):
    program, *arguments = shlex.split(command)
    assert program == "arbitrade"
    done = subprocess.run(
        [sys.executable, "-m", "arbitrade", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "checksum" in done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(document):
    broken = []
    for target in LINK.findall(FENCED.sub("", document.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = document.parent / name if name else document
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []
