"""What roles were called otherwise, for as long as the old names are still found."""

import warnings

from arbitrade.protocols.beside import OpportunityStore

_RENAMED = {"Store": OpportunityStore}
"""Names that go with version 0.2, and who took their place."""


def renamed(module: str, name: str) -> object:
    """Return what `module` called `name` once, and warn whoever still does.

    Raises:
        AttributeError: It was never called so.
    """
    successor = _RENAMED.get(name)
    if successor is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    warnings.warn(
        f"{module}.{name} is called {module}.{successor.__name__} now; the old name goes with 0.2",
        DeprecationWarning,
        stacklevel=3,
    )
    return successor
