"""A value that must not leak, and nothing else; where secrets are kept is in `secret_stores`."""

import hmac
from collections.abc import Callable
from typing import NoReturn, Self

MASK = "********"
"""What is shown in place of a secret, whatever its length."""


class Secret:
    """A secret value: masked wherever it is shown, refused wherever it would be written.

    `repr`, `str`, f-strings and logging show `********`.  Pickling raises, `json` and `orjson`
    raise, `copy` and `deepcopy` return the same object.  Two secrets are equal when their values
    are; the comparison takes the same time wherever they differ.

    Every value is also remembered for the log masking (`arbitrade.process.logs`), so that it can't
    get into a log by another way, such as the message of a library's exception.

    Args:
        value: The secret itself.
    """

    __slots__ = ("_load", "_value")
    _value: str | None
    _load: Callable[[], str] | None

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"a secret is made of text, not of {type(value).__name__}")
        object.__setattr__(self, "_value", value)
        object.__setattr__(self, "_load", None)
        _remember(value)

    @classmethod
    def deferred(cls, load: Callable[[], str]) -> Self:
        """Return a secret that is fetched when it is first revealed.

        So nobody is asked for the passphrase of a vault by a command that needs no secret.

        Args:
            load: Returns the value; may ask the user, may raise `SecretError`.
        """
        secret = cls("")
        object.__setattr__(secret, "_value", None)
        object.__setattr__(secret, "_load", load)
        return secret

    def reveal(self) -> str:
        """Return the value itself.  Call it where it is used, and keep the result nowhere.

        Raises:
            SecretError: The store that has it can't be opened.
        """
        if self._value is None:
            assert self._load is not None
            value = self._load()
            _remember(value)
            object.__setattr__(self, "_value", value)
            object.__setattr__(self, "_load", None)
            return value
        return self._value

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        # Whatever the spec: `{secret:.3}` must not show how long it is either.
        return MASK

    def __bool__(self) -> bool:
        return self._value != ""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        if self is other:
            return True
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    def __hash__(self) -> int:
        # The same for all: secrets are compared, hardly ever looked up.
        return hash(Secret)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a secret can't be changed; make a new one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a secret can't be changed; make a new one")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret can't be pickled; hand its name over and look it up again")


# Values seen, for the masking in logs.  Short ones are left out: masking every "a" helps nobody.
_MINIMUM_MASKED = 6
_seen: set[str] = set()


def known_secret_values() -> frozenset[str]:
    """Return every secret value of this process that is long enough to be masked in text."""
    return frozenset(_seen)


def _remember(value: str) -> None:
    if len(value) >= _MINIMUM_MASKED:
        _seen.add(value)
