"""What is committed names no machine, no package index and no secret."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from arbitrade.testing.isolation import at_home

ROOT = Path(__file__).parents[2]
# Put together here so that this file does not contain what it looks for.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("crates", "io"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("anaconda", "org"),
    )
]
MACHINE_PATH = re.compile(r"(?<![\w.~/])/(?:work|root|home/\w+|Users/\w+|opt/\w+)/|[A-Z]:\\Users")
NEIGHBOUR = re.compile(r"\.\./shared\b")
SECRETS = [
    re.compile("-----BEGIN " + r"[A-Z ]*PRIVATE KEY-----"),
    # Kraken's private keys are 64 bytes in base64.
    re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}==(?![A-Za-z0-9+/=])"),
    re.compile(r"\b\d{8,10}:[A-Za-z0-9_-]{35}\b"),
]
# The venue's documentation prints this key, and its example signed with it; it opens nothing.
PUBLISHED_KEYS = (
    "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ==",
    "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==",
)


def committed() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: what would be committed is not known")
    listed = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        env=at_home(),
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[str, str]]:
    found = []
    for path in committed():
        content = path.read_bytes()
        if b"\0" not in content[:8192] and path.suffix not in {".zst", ".gz"}:
            found.append((path.relative_to(ROOT).as_posix(), content.decode("utf-8")))
    return found


def places(pattern: re.Pattern[str], allowed: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{name}: {match[0]}"
        for name, text in texts()
        if name not in allowed
        for match in pattern.finditer(text)
        if match[0] not in PUBLISHED_KEYS
    ]


def test_no_file_names_a_package_index():
    assert places(re.compile("|".join(map(re.escape, REGISTRIES)))) == []


def test_no_file_contains_a_path_of_a_machine():
    assert places(MACHINE_PATH) == []


def test_only_the_ci_script_looks_beside_the_repository():
    own = Path(__file__).relative_to(ROOT).as_posix()
    assert places(NEIGHBOUR, (".ci/run", own)) == []


@pytest.mark.parametrize("pattern", SECRETS, ids=["private key", "venue key", "chat bot token"])
def test_no_file_contains_what_looks_like_a_secret(pattern):
    assert places(pattern) == []


def test_no_lock_file_is_committed():
    assert [path for path in committed() if path.name in {"uv.lock", "poetry.lock"}] == []


def test_no_settings_or_secrets_of_an_installation_are_committed():
    private = {"settings.toml", ".secrets.toml", ".secrets.vault", ".env"}
    assert [path for path in committed() if path.name in private] == []


def test_every_text_file_is_utf8_with_unix_line_ends_and_ends_in_a_newline():
    wrong = [
        name
        for name, text in texts()
        if text
        and ("\r\n" in text or not text.endswith("\n"))
        and not name.startswith("tests/data/")
    ]
    # Recorded frames stay as they were received.
    assert [name for name in wrong if not name.endswith((".jsonl", ".ndjson", ".json"))] == []
