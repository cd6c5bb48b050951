import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest

from arbitrade.testing.patience import PATIENCE_S

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


def written(name: str) -> list[str]:
    """Return the README's shell lines that run one command of arbitrade, from its name on."""
    found = [line.partition("uv run ")[2] for line in commands()]
    return [line for line in found if line.split()[:2] == ["arbitrade", name]]


def run(command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a line as `arbitrade …`, with a state folder and a home of its own."""
    program, *arguments = shlex.split(command)
    assert program == "arbitrade"
    done = subprocess.run(
        [sys.executable, "-m", "arbitrade", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE_S,
        check=False,
        env={
            **os.environ,
            "ARBITRADE_CONFIG": str(folder),  # a checkout may have settings of its own
            "ARBITRADE_RUNTIME__FOLDER": str(folder),
            "HOME": str(folder),
        },
    )
    assert done.returncode == 0, done.stderr
    return done


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", document.read_text(encoding="utf-8")), re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def test_quick_start_is_two_commands_each_complete_on_a_fresh_machine():
    complete = [line for line in commands() if line.startswith("python3 -m pip install uv && ")]
    assert len(complete) == 2
    main, tests = (line.partition(" && ")[2] for line in complete)
    assert main == "python3 -m uv run arbitrade demo"
    assert tests == "python3 -m uv run pytest"


def test_systems_whose_python_refuses_pip_are_told_what_to_do():
    assert "pipx install uv" in README


@pytest.mark.parametrize("command", written("detect"))
def test_detecting_runs_as_written(command, tmp_path):
    assert "checksum" in run(command, tmp_path).stderr


@pytest.fixture
def shared_folder():
    """Return a folder that another account may look into: root's PostgreSQL runs as one."""
    with tempfile.TemporaryDirectory(prefix="arbitrade-readme-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_main_command_of_the_readme_trades_and_its_ledger_is_the_venues(shared_folder):
    (command,) = written("demo")
    # As written it runs until Ctrl-C; twice the pace shows more in few seconds.
    report = json.loads(run(f"{command} --for 8s --rate 1000 --json", shared_folder).stdout)
    assert report["opportunities"]["seen"] > 0
    assert report["ledger_difference"]
    assert all(Decimal(amount) == 0 for amount in report["ledger_difference"].values())
    assert report["database"]["opportunity"] > 0


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
