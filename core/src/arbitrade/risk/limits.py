"""The limits as they are now, how they are changed while the bot runs, and what they were."""

from collections import deque
from collections.abc import Mapping

import attrs
import orjson

from arbitrade.config.converter import Text, converter
from arbitrade.config.risk import RiskLimits
from arbitrade.config.structure import structure_section
from arbitrade.errors import ConfigError

SECTION = "risk"
KEPT_CHANGES = 1_000
"""Changes the history holds; the journal has them all."""

_ORIGIN = "limits set"
_FIXED = "reference_asset"


@attrs.frozen
class LimitChange:
    """One change of the limits.

    Args:
        version: From this version on.
        limits: What holds since.
        changed: The values that changed, as text by name.
        actor: Who changed them.
        at_ns: When, nanoseconds since the epoch.
    """

    version: int
    limits: RiskLimits
    changed: Mapping[str, str]
    actor: str
    at_ns: int


class LimitBook:
    """The limits of a run.  What was approved under a version keeps the limits of that version.

    Args:
        limits: What the settings say: version 0.
    """

    def __init__(self, limits: RiskLimits) -> None:
        self._limits = limits
        self._version = 0
        self._history: deque[LimitChange] = deque(maxlen=KEPT_CHANGES)

    @property
    def limits(self) -> RiskLimits:
        """The limits that hold now; a cycle keeps those it began with."""
        return self._limits

    @property
    def version(self) -> int:
        """How often the limits were changed since the start; 0 for those of the settings."""
        return self._version

    @property
    def history(self) -> tuple[LimitChange, ...]:
        """The changes, oldest first; the last thousand."""
        return tuple(self._history)

    def read(self, values: Mapping[str, str]) -> RiskLimits:
        """Return the limits with these values in place of those that hold, and change nothing.

        Args:
            values: Text by name, as in the environment: `maximum_notional`, with or without
                `risk.` before it; `reserve.USD` for one entry of a table.

        Raises:
            ConfigError: Each value that doesn't fit, all at once, in the settings' own words.
        """
        problems: list[str] = []
        table: dict[str, object] = attrs.asdict(self._limits, recurse=False)
        seen: set[str] = set()
        for written, text in values.items():
            name = written.strip().lower().removeprefix(f"{SECTION}.")
            key, dot, entry = name.partition(".")
            if dot:
                # Assets keep their case.
                name = f"{key}.{written.strip()[-len(entry) :] if entry else ''}"
            if name in seen:
                problems.append(f"{SECTION}.{name}: is given twice; give it once")
            seen.add(name)
            _put(table, name, Text(text, _ORIGIN))
        try:
            limits = structure_section(SECTION, RiskLimits, table, {})
        except ConfigError as error:
            raise ConfigError([*problems, *error.problems]) from None
        if limits.reference_asset != self._limits.reference_asset:
            problems.append(
                f"{SECTION}.{_FIXED}: {limits.reference_asset!r} can't replace "
                f"{self._limits.reference_asset!r} while trading, because profit and exposure are "
                "counted in it; set it in settings.toml and start again"
            )
        if problems:
            raise ConfigError(problems)
        return limits

    def change(self, values: Mapping[str, str], *, actor: str = "", at_ns: int = 0) -> RiskLimits:
        """Read these values and let them hold from now on, all of them or none.

        Args:
            values: As for `read`.
            actor: Who wants it.
            at_ns: When, nanoseconds since the epoch by the run's clock.

        Raises:
            ConfigError: Each value that doesn't fit; the limits stay as they were.
        """
        limits = self.read(values)
        self.apply(limits, actor=actor, at_ns=at_ns)
        return limits

    def apply(self, limits: RiskLimits, *, actor: str = "", at_ns: int = 0) -> int:
        """Let these limits hold from now on; return their version.

        Limits that are the same as before are no new version.
        """
        if limits == self._limits:
            return self._version
        before, after = texts(self._limits), texts(limits)
        changed = {name: text for name, text in after.items() if before[name] != text}
        self._limits = limits
        self._version += 1
        self._history.append(LimitChange(self._version, limits, changed, actor, at_ns))
        return self._version


def texts(limits: RiskLimits) -> dict[str, str]:
    """Return limits as text by name, which `LimitBook.read` reads back as the same."""
    plain: Mapping[str, object] = converter.unstructure(limits)
    return {name: _text(value) for name, value in plain.items()}


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _put(table: dict[str, object], name: str, text: Text) -> None:
    key, dot, entry = name.partition(".")
    inner = table.get(key)
    if dot and isinstance(inner, Mapping):
        table[key] = {**inner, entry: text}
    else:
        table[name] = text
