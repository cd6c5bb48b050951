"""The committed `settings.example.toml` is what core and the shipped plugins say today."""

import itertools
import re
from pathlib import Path

import pytest

from arbitrade.config import SettingsSection
from arbitrade.config.example import example
from arbitrade.config.load import load_settings
from arbitrade.plugins import discover

ROOT = Path(__file__).parents[2]
SHIPPED = tuple(
    f"arbitrade-{name}" for name in ("core", "kraken", "triangular", "statarb", "alerts", "web")
)


@pytest.fixture(scope="module")
def sections() -> tuple[SettingsSection, ...]:
    """What our own plugins register, whatever else is installed."""
    return discover(SHIPPED).settings_sections()


def test_the_committed_example_is_up_to_date(sections: tuple[SettingsSection, ...]) -> None:
    committed = (ROOT / "settings.example.toml").read_text(encoding="utf-8")
    assert committed == example(sections), "run: arbitrade config example > settings.example.toml"


def test_the_example_taken_at_its_word_is_the_defaults(
    sections: tuple[SettingsSection, ...], tmp_path: Path
) -> None:
    written = re.sub(r"^#(?=\S)", "", example(sections), flags=re.MULTILINE)
    (tmp_path / "settings.toml").write_text(written, encoding="utf-8")
    environ = {"ARBITRADE_SECRETS__KEYRING": "true"}
    (tmp_path / "empty").mkdir()
    settings = load_settings(sections, folder=tmp_path, environ=environ)
    defaults = load_settings(sections, folder=tmp_path / "empty", environ=environ)
    assert settings.structured == defaults.structured
    assert settings.fees == defaults.fees
    assert settings.recording == defaults.recording


def test_every_setting_says_why(sections: tuple[SettingsSection, ...]) -> None:
    lines = example(sections).splitlines()
    bare = [
        line
        for before, line in itertools.pairwise(lines)
        if re.match(r"#\w+ = ", line) and not before.startswith("# ")
    ]
    assert bare == []
