"""The settings of a run as text, and the digest that tells two of them apart."""

import hashlib

import attrs

from arbitrade.config.settings import Settings
from arbitrade.plain_json import canonical, to_json
from arbitrade.secrets import Secret


def settings_of(settings: Settings) -> tuple[str, str]:
    """Return the settings without secrets as canonical JSON, and its SHA-256 in hexadecimal."""
    table: dict[str, object] = {"venue": settings.venue}
    for field in attrs.fields(Settings):
        value = getattr(settings, field.name)
        if attrs.has(type(value)) and field.name != "structured":
            table[field.name] = _section(value)
    for name, section in sorted(settings.structured.items()):
        table[name] = _section(section)
    text = canonical(table)
    return text, hashlib.sha256(text.encode()).hexdigest()


def _section(section: object) -> dict[str, object]:
    """Return a section without its secrets, and without what only this machine knows."""
    cls = type(section)
    if not attrs.has(cls):
        return {}
    hidden = [f.name for f in attrs.fields(cls) if isinstance(getattr(section, f.name), Secret)]
    shown = attrs.evolve(section, **dict.fromkeys(hidden))  # type: ignore[misc]
    return to_json(shown)
