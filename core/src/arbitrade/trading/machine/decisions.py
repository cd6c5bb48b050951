"""Everything a run decided, as one rolling hash.

hash(n) = SHA-256 over hash(n−1), then the canonical JSON of decision n with its number and time;
hash(0) is 32 zero bytes.  Two runs with the same hash after as many decisions decided the same.
"""

import hashlib
from collections.abc import Callable, Mapping

import orjson

from arbitrade.trading.machine.events import Decided


class Decisions:
    """Counts, hashes and hands on decisions.

    Args:
        on_decision: Called with each; None to only hash.
    """

    def __init__(self, on_decision: Callable[[Decided], None] | None = None) -> None:
        self._digest = bytes(32)
        self.on_decision = on_decision
        self.count = 0

    @property
    def hash(self) -> str:
        """Over all decisions so far, in hexadecimal."""
        return self._digest.hex()

    def add(self, now_ns: int, what: str, fields: Mapping[str, object]) -> None:
        """Take one more; `fields` are plain JSON values."""
        self.count += 1
        text = orjson.dumps(
            {"n": self.count, "t": now_ns, "what": what, **fields}, option=orjson.OPT_SORT_KEYS
        )
        self._digest = hashlib.sha256(self._digest + text).digest()
        if self.on_decision is not None:
            self.on_decision(Decided(self.count, self._digest.hex(), what, dict(fields)))
