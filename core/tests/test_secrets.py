"""A secret doesn't leak, whatever one does with it."""

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Iterator

import attrs
import orjson
import pytest

from arbitrade import Secret
from arbitrade.errors import SecretError
from arbitrade.secrets import known_secret_values

CANARY = "canary-7f3a-do-not-show"


@attrs.frozen
class Holder:
    api_key: Secret | None = None


@pytest.mark.parametrize(
    "shown",
    [
        repr(Secret(CANARY)),
        str(Secret(CANARY)),
        f"{Secret(CANARY)}",
        f"{Secret(CANARY)!r:>40}",
        f"{Secret(CANARY):.3}",
        "%s %r" % (Secret(CANARY), Secret(CANARY)),  # noqa: UP031  # what libraries' logging does
        "{}".format(Secret(CANARY)),  # noqa: UP032
        repr(Holder(Secret(CANARY))),
        repr({"key": [Secret(CANARY)]}),
    ],
)
def test_a_secret_is_masked_wherever_it_is_shown(shown: str) -> None:
    assert "********" in shown
    assert "canary" not in shown


def test_its_length_does_not_show() -> None:
    assert str(Secret("a")) == str(Secret("a" * 100))
    assert f"{Secret('a'):>50}" == f"{Secret('a' * 60):<2}"


def test_reveal_is_the_only_way_in() -> None:
    secret = Secret(CANARY)
    assert secret.reveal() == CANARY
    with pytest.raises(TypeError):
        vars(secret)
    with pytest.raises(TypeError):
        len(secret)  # type: ignore[arg-type]  # that it fails is the point
    with pytest.raises(TypeError):
        list(secret)  # type: ignore[call-overload]  # that it fails is the point


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_cannot_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(Holder(Secret(CANARY)), protocol)


@pytest.mark.parametrize("dumps", [json.dumps, orjson.dumps])
def test_it_cannot_become_json(dumps: object) -> None:
    assert callable(dumps)
    with pytest.raises(TypeError) as caught:
        dumps({"key": Secret(CANARY)})
    assert "canary" not in str(caught.value)


def test_asdict_keeps_it_wrapped() -> None:
    assert "canary" not in repr(attrs.asdict(Holder(Secret(CANARY))))


def test_a_copy_is_the_same_object() -> None:
    secret = Secret(CANARY)
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_equality_compares_values_and_nothing_else() -> None:
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) != Secret(f"{CANARY}!")
    assert Secret(CANARY) != CANARY
    assert hash(Secret("one")) == hash(Secret("two"))
    assert Secret("pässword") != Secret("password")


def test_it_cannot_be_changed() -> None:
    secret = Secret(CANARY)
    with pytest.raises(AttributeError, match="can't be changed"):
        secret._value = "other"
    with pytest.raises(AttributeError, match="can't be changed"):
        del secret._value
    with pytest.raises(AttributeError):
        secret.other = "other"


def test_only_text_is_a_secret() -> None:
    with pytest.raises(TypeError, match="not of bytes"):
        Secret(b"bytes")  # type: ignore[arg-type]  # that it fails is the point


def test_an_empty_secret_is_false() -> None:
    assert not Secret("")
    assert Secret(CANARY)


def test_logging_shows_the_mask(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("key %s %r", Secret(CANARY), {"a": Secret(CANARY)})
    assert "********" in caplog.text
    assert "canary" not in caplog.text


def test_a_traceback_with_variables_shows_the_mask() -> None:
    def fail(secret: Secret) -> None:
        raise SecretError(f"can't use {secret}")

    with pytest.raises(SecretError) as caught:
        fail(Secret(CANARY))
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "canary" not in "".join(told.format()).replace(__file__, "").replace("CANARY", "")


def test_a_deferred_secret_is_fetched_once_and_late() -> None:
    fetched: list[str] = []

    def fetch() -> str:
        fetched.append("now")
        return CANARY

    secret = Secret.deferred(fetch)
    assert secret
    assert "********" in repr(secret)
    assert not fetched
    assert secret.reveal() == secret.reveal() == CANARY
    assert fetched == ["now"]


def test_a_deferred_secret_that_fails_can_be_tried_again() -> None:
    answers: Iterator[Exception | str] = iter([SecretError("vault: wrong passphrase"), CANARY])

    def fetch() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    secret = Secret.deferred(fetch)
    with pytest.raises(SecretError):
        secret.reveal()
    assert secret.reveal() == CANARY


def test_values_are_remembered_for_masking_unless_they_are_too_short() -> None:
    Secret(CANARY)
    Secret("ab")
    assert CANARY in known_secret_values()
    assert "ab" not in known_secret_values()
