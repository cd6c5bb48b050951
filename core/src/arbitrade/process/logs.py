"""structlog on top of the standard library's logging, so that libraries' records come out alike.

A secret is masked twice: by the name of the field it is in, and by its value wherever that turns
up, in messages and tracebacks too.  Masking comes last, when tracebacks are text already; they
never show the variables of a frame.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from arbitrade.config import LogSettings
from arbitrade.secrets import MASK, known_secret_values


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send every record, ours and libraries', to one stream in one format.

    Can be called again; the last call holds.

    Args:
        settings: Level and format.
        stream: Where to; by default standard error.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_common(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = _Handler(sys.stderr if stream is None else stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_common(),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # Plain tracebacks; the dictionaries structlog could make show locals.
                structlog.processors.format_exc_info,
                structlog.processors.StackInfoRenderer(),
                mask_secrets,
                _renderer(settings, handler.stream),
            ],
        )
    )
    root = logging.getLogger()
    for old in [known for known in root.handlers if isinstance(known, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())


def mask_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Replace secrets in a log event: fields by their names, and known values in every text.

    Cost: one search of each text for all known secrets together.
    """
    masked = _mask(event, _pattern(known_secret_values()))
    return cast(MutableMapping[str, object], masked)


def is_secret_name(name: str) -> bool:
    """Return whether a field of this name is masked, however it is spelled: `API-Key`, `apiKey`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    normal = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    return any(f"_{word}_" in f"_{normal}_" for word in _SECRET_WORDS)


# Joined words as well: `apikey` and `API_KEY` normalise differently.
_SECRET_WORDS = (
    "api_key",
    "apikey",
    "api_secret",
    "apisecret",
    "api_sign",
    "authorization",
    "cookie",
    "credentials",
    "dsn",
    "nonce",
    "otp",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "secret",
    "secrets",
    "signature",
    "token",
    "tokens",
    "totp",
)


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that a second `configure` knows which one to replace."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        # The default prints the record's arguments, unmasked.  A log that can't be written must not
        # stop the bot either.
        kind = sys.exc_info()[0]
        name = kind.__name__ if kind is not None else "an error"
        try:
            sys.stderr.write(f"a log record of {record.name} was lost: {name}\n")
        except (OSError, ValueError):
            return


def _common() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        _drop_what_formatters_left,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _drop_what_formatters_left(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Drop what another handler's formatter added to a library's record: the message again."""
    if "_record" in event:
        for name in ("message", "asctime"):
            event.pop(name, None)
    return event


def _renderer(settings: LogSettings, stream: TextIO) -> Processor:
    if settings.format == "json":
        return structlog.processors.JSONRenderer(serializer=_to_json)
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _to_json(event: object, **_: object) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


@lru_cache(maxsize=1)
def _pattern(values: frozenset[str]) -> re.Pattern[str] | None:
    if not values:
        return None
    # As `repr` and JSON write them, too; the longest first, in case one secret contains another.
    forms = {form for value in values for form in (value, repr(value)[1:-1], _in_json(value))}
    return re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))


def _in_json(value: str) -> str:
    return orjson.dumps(value).decode()[1:-1]


def _mask(value: object, pattern: re.Pattern[str] | None) -> object:
    if isinstance(value, str):
        return value if pattern is None else pattern.sub(MASK, value)
    if isinstance(value, Mapping):
        return {
            _mask(key, pattern): _mask_named(key, inner, pattern) for key, inner in value.items()
        }
    if isinstance(value, tuple) and len(value) == 2:
        # As libraries list headers.
        return [_mask(value[0], pattern), _mask_named(value[0], value[1], pattern)]
    if isinstance(value, list | tuple | set | frozenset):
        return [_mask(item, pattern) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    # Anything else would become text only in the renderer, behind our back.
    return _mask(
        value.decode(errors="replace") if isinstance(value, bytes) else str(value), pattern
    )


def _mask_named(name: object, value: object, pattern: re.Pattern[str] | None) -> object:
    is_secret = isinstance(name, str) and is_secret_name(name)
    return MASK if is_secret else _mask(value, pattern)
