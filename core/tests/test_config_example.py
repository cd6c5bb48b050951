"""`settings.example.toml` from classes with and without descriptions."""

import tomllib
from collections.abc import Mapping
from decimal import Decimal

import attrs

from arbitrade import Secret, SettingsSection, Severity, setting
from arbitrade.config.example import example
from arbitrade.config.show import plain_value, toml_value
from arbitrade.pricing import FeeConvention


@attrs.frozen
class Account:
    """Who trades."""

    api_key: Secret | None = setting(None, "Key of the account.")


@attrs.frozen
class Described:
    """What a plugin says about itself.

    More that belongs to the code.
    """

    pause_s: float = setting(5.0, "Shortest pause.", unit="s", minimum=0)
    level: Severity = setting(Severity.WARNING, "From which level on.")
    proxy: str | None = setting(None, "Where to go through.", example="http://proxy:3128")
    account: Account = Account()


@attrs.frozen
class Plain:
    """A class with a docstring only.

    Args:
        window: Observations looked at,
            the current one included.
        bare: Another.

    Example:
        window: not this one.
    """

    window: int = 100
    bare: tuple[str, ...] = ("a", "b")
    silent: bool = True


def section_of(name: str, cls: type) -> list[str]:
    text = example([SettingsSection(name, cls)])
    return text[text.index(f"[{name}]") :].splitlines()


def test_a_description_says_why_unit_range_and_choices() -> None:
    lines = section_of("described", Described)
    assert "# Shortest pause. Unit: s. At least 0." in lines
    assert lines[lines.index("# Shortest pause. Unit: s. At least 0.") + 1] == "#pause_s = 5.0"
    assert "# From which level on. One of debug, info, warning, error, critical." in lines
    assert '#level = "warning"' in lines


def test_a_setting_without_default_shows_an_example() -> None:
    lines = section_of("described", Described)
    place = lines.index("# proxy is not set by default.")
    assert lines[place + 1] == '#proxy = "http://proxy:3128"'


def test_a_secret_shows_where_to_put_it_but_no_key_to_fill_in() -> None:
    text = "\n".join(section_of("described", Described))
    assert "[described.account]" in text
    assert "arbitrade secrets set described.account.api_key" in text
    assert "ARBITRADE_DESCRIBED__ACCOUNT__API_KEY_FILE" in text
    assert "#api_key =" not in text


def test_a_plain_class_is_described_by_its_docstring() -> None:
    lines = section_of("plain", Plain)
    assert "# Observations looked at, the current one included." in lines
    assert "# Another." in lines
    assert '#bare = ["a", "b"]' in lines
    assert "#silent = true" in lines


def test_the_summary_stands_above_the_section() -> None:
    text = example([SettingsSection("described", Described)])
    assert "# What a plugin says about itself.\n[described]\n" in text
    assert "More that belongs to the code" not in text


def test_the_file_is_toml_before_anything_is_filled_in() -> None:
    read = tomllib.loads(example([SettingsSection("plain", Plain)]))
    assert read["plain"] == {}
    assert read["fees"] == {}


def test_values_are_written_as_toml_reads_them() -> None:
    values: Mapping[str, object] = {
        "decimal": Decimal("0.0040"),
        "exact": Decimal("0.12345678901234567890"),
        "big": Decimal("1E+3"),
        "huge": Decimal("1E+999999999"),
        "text": 'a "quoted" \\ line\nbreak',
        "list": ("a", 1, True),
        "table": {"BTC/USD": Decimal("0.1")},
        "enum": FeeConvention.QUOTE,
        "level": Severity.ERROR,
    }
    read = tomllib.loads(f"values = {toml_value(values)}", parse_float=Decimal)["values"]
    assert read == {
        "decimal": Decimal("0.0040"),
        "exact": "0.12345678901234567890",
        "big": 1000,
        "huge": Decimal("1E+999999999"),
        "text": values["text"],
        "list": ["a", 1, True],
        "table": {"BTC/USD": Decimal("0.1")},
        "enum": "quote",
        "level": "error",
    }


def test_secrets_are_masked_in_every_notation() -> None:
    held = {"a": (Secret("canary"), Account(Secret("canary")))}
    assert "canary" not in toml_value(held)
    assert "canary" not in repr(plain_value(held))
