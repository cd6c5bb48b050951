"""The converter: what it takes, what it refuses, and how text becomes what a field wants."""

import enum
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade import Secret, Severity
from arbitrade.config.converter import Text, converter


class Colour(enum.Enum):
    RED = "red"
    DARK_BLUE = "dark-blue"


@attrs.frozen
class Inner:
    rate: Decimal = Decimal(1)


@attrs.frozen
class Outer:
    inner: Inner = Inner()
    inners: tuple[Inner, ...] = ()
    count: int | None = None


def text(value: str) -> Text:
    return Text(value, "environment TEST")


@pytest.mark.parametrize("value", [True, "0,4", "1_0", "", "nan", "inf", float("inf"), [1], None])
def test_a_decimal_refuses_what_is_not_one_finite_number(value: object) -> None:
    with pytest.raises(ValueError, match=r"is not a (decimal|finite) number"):
        converter.structure(value, Decimal)


def test_a_float_becomes_the_decimal_that_was_written() -> None:
    assert str(converter.structure(0.004, Decimal)) == "0.004"


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_every_finite_decimal_survives_as_text(number: Decimal) -> None:
    assert converter.structure(text(str(number)), Decimal) == number


@given(st.text())
def test_text_for_a_string_is_taken_character_by_character(value: str) -> None:
    assert converter.structure(text(value), str) == value


@pytest.mark.parametrize("value", [2.5, True, "5", None])
def test_an_integer_is_not_guessed(value: object) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        converter.structure(value, int)


@pytest.mark.parametrize("value", ["2.5", "0x1F", "1e3", "", "1_000", "\u0663"])
def test_text_that_is_no_plain_integer_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        converter.structure(text(value), int)


@pytest.mark.parametrize("value", [5, 1.5, True, None])
def test_a_string_is_not_made_of_something_else(value: object) -> None:
    with pytest.raises(ValueError, match="is not text; put it in quotes"):
        converter.structure(value, str)


@pytest.mark.parametrize(
    ("value", "expected"), [("true", True), ("YES", True), ("0", False), (" off ", False)]
)
def test_text_says_yes_and_no_in_many_words(value: str, expected: bool) -> None:
    assert converter.structure(text(value), bool) is expected


@pytest.mark.parametrize("value", [1, 0, "true", text("maybe"), text("")])
def test_a_boolean_is_not_guessed(value: object) -> None:
    with pytest.raises(ValueError, match="is neither true nor false"):
        converter.structure(value, bool)


def test_a_string_is_not_a_list_of_characters() -> None:
    with pytest.raises(ValueError, match="'USD' is not a list"):
        converter.structure("USD", tuple[str, ...])


@pytest.mark.parametrize("written", ["USD,EUR", " USD , EUR ,", '["USD", "EUR"]', "['USD', 'EUR']"])
def test_text_for_a_list_has_commas_or_brackets(written: str) -> None:
    assert converter.structure(text(written), tuple[str, ...]) == ("USD", "EUR")


def test_empty_text_is_an_empty_list() -> None:
    assert converter.structure(text(""), tuple[str, ...]) == ()


@pytest.mark.parametrize("written", ['{"BTC/USD": 0.10}', '{"BTC/USD" = 0.10}'])
def test_text_for_a_table_is_json_or_toml_and_keeps_every_digit(written: str) -> None:
    table = converter.structure(text(written), dict[str, Decimal])
    assert {key: str(value) for key, value in table.items()} == {"BTC/USD": "0.10"}


def test_text_for_a_table_cannot_smuggle_in_other_keys() -> None:
    with pytest.raises(ValueError, match="is not a table"):
        converter.structure(text("{}\nother = 1"), dict[str, int])


@pytest.mark.parametrize("written", ["red", "RED", text("red"), text("Red"), Colour.RED])
def test_an_enum_is_written_by_value_or_name(written: object) -> None:
    assert converter.structure(written, Colour) is Colour.RED


def test_an_unknown_member_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'green' is none of red, dark-blue"):
        converter.structure("green", Colour)


@pytest.mark.parametrize("written", ["critical", 50, text("CRITICAL"), text("50")])
def test_an_enum_of_integers_is_written_by_name_or_number(written: object) -> None:
    assert converter.structure(written, Severity) is Severity.CRITICAL


def test_true_is_no_member_of_an_enum_of_integers() -> None:
    class Level(enum.IntEnum):
        LOW = 1

    with pytest.raises(ValueError, match="True is none of low"):
        converter.structure(True, Level)


def test_a_literal_is_one_of_its_words() -> None:
    kind: Any = Literal["none", "gzip"]
    assert converter.structure(text("GZIP"), kind) == "gzip"
    with pytest.raises(ValueError, match="'zip' is none of none, gzip"):
        converter.structure("zip", kind)


def test_empty_text_for_an_optional_value_is_none() -> None:
    assert converter.structure({"count": text("")}, Outer) == Outer(count=None)
    assert converter.structure({"count": text("7")}, Outer) == Outer(count=7)


def test_classes_nest() -> None:
    written = {"INNER": {"rate": 2}, "inners": [{"Rate": text("0.10")}]}
    assert converter.structure(written, Outer) == Outer(
        inner=Inner(Decimal(2)), inners=(Inner(Decimal("0.10")),)
    )


def test_a_path_and_anything_take_text() -> None:
    assert converter.structure(text("a/b"), Path) == Path("a/b")
    assert converter.structure(text("a"), object) == "a"


def test_decimals_are_written_as_exact_text() -> None:
    assert converter.dumps(Inner(Decimal("0.0040"))) == b'{"rate":"0.0040"}'


def test_a_secret_is_read_but_never_written() -> None:
    secret = converter.structure("hunter22", Secret)
    assert secret.reveal() == "hunter22"
    with pytest.raises(TypeError, match="can't be written"):
        converter.unstructure(secret)
    with pytest.raises(TypeError):
        orjson.dumps(secret)


def test_a_secret_that_is_no_text_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="put it in quotes") as caught:
        converter.structure(12345678, Secret)
    assert "12345678" not in str(caught.value)


def test_text_does_not_show_what_it_holds() -> None:
    assert "hunter22" not in repr(text("hunter22"))


def test_a_long_value_is_shortened_in_the_error() -> None:
    with pytest.raises(ValueError, match="…") as caught:
        converter.structure("9" * 500 + "x", Decimal)
    assert len(str(caught.value)) < 120
