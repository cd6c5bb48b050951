"""The compiled hot path: whether it is there, whether it is wanted, and how a plugin joins it.

A distribution may bring a compiled stage, a module that exists only compiled, and offer it to the
engine as `CompiledVenue` or `CompiledDetector` of `arbitrade.protocols` say.  `load` finds such a
module, or says why it can't be used; then the interpreted twin runs, and everything comes out the
same, only later.  docs/hot-path.md has the layout of the memory the stages share.

Environment: `ARBITRADE_INTERPRETED=1` leaves the compiled path alone,
`ARBITRADE_REQUIRE_COMPILED=1` makes its absence an error.
"""

import os
from types import ModuleType

from arbitrade.errors import ConfigError
from arbitrade.hot.finding import find

INTERPRETED, REQUIRED = "ARBITRADE_INTERPRETED", "ARBITRADE_REQUIRE_COMPILED"

LOOP = "arbitrade.hot._loop"
"""Core's own stage: books and the loop over frames."""

_REBUILD = "install a C compiler, then: uv sync --reinstall"


def load(name: str) -> ModuleType | None:
    """Return a compiled module, None when the interpreted path is to run instead.

    Raises:
        ConfigError: It is required and not there.
    """
    found = _find(name)
    return None if isinstance(found, str) else found


def unavailable(name: str) -> str | None:
    """Return why a compiled module can't be used, None when it can.

    Raises:
        ConfigError: It is required and not there, or required and switched off at once.
    """
    found = _find(name)
    return found if isinstance(found, str) else None


def _find(name: str) -> ModuleType | str:
    if os.environ.get(INTERPRETED) == "1":
        found: ModuleType | str = f"{INTERPRETED}=1 switches the compiled path off"
        next_step = "unset one of the two"
    else:
        found, next_step = find(name), _REBUILD
    if isinstance(found, str) and os.environ.get(REQUIRED) == "1":
        raise ConfigError(f"{REQUIRED}=1, but {found}; {next_step}")
    return found
