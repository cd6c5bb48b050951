"""Values as plain JSON and back: how an instrument, or any other value, is written down.

What stands in files and frames of one's own making.  Frames of a venue have a form of the venue's.
"""

from collections.abc import Mapping

from arbitrade.errors import MessageError


def to_json(value: object) -> dict[str, object]:
    """Return a value of `arbitrade.models` as what any JSON library writes, exactly.

    Decimals, enums and times become text, tuples become lists.  A set of instruments is written
    as the event that brings it:
    ``to_json(InstrumentsChanged(True, tuple(known.values()), tuple(known.assets.values())))``.
    """
    # cattrs is dear to import, and most commands write nothing down.
    import orjson

    from arbitrade import plain_json

    fields: dict[str, object] = orjson.loads(orjson.dumps(plain_json.to_json(value)))
    return fields


def from_json[T](fields: Mapping[str, object], cls: type[T]) -> T:
    """Return the value that `to_json` made these of.

    Fields that `cls` doesn't have are passed over, and those with a default may be missing: a file
    of a newer version can be read.

    Raises:
        MessageError: They don't make a `cls`.
    """
    from arbitrade import plain_json

    try:
        return plain_json.from_json(fields, cls)
    except Exception as error:  # cattrs raises groups of anything
        why = "; ".join(_reasons(error))
        raise MessageError(
            f"no {cls.__name__} can be made of {fields!r:.200}: {why}; write it with to_json"
        ) from error


def _reasons(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [reason for inner in error.exceptions for reason in _reasons(inner)]
    return [f"{type(error).__name__}: {error}"]
