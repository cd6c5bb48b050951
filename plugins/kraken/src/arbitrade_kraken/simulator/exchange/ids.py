"""Identifiers in the venue's shapes, the same for the same seed."""

from random import Random

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class Identifiers:
    """Makes ids; never the same twice."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"{seed} ids").random  # noqa: S311 - no secrets
        self._made: set[str] = set()

    def order(self) -> str:
        """Return an order id, e.g. `OQ7ZKD-5WLMN-X2RBTA`."""
        return self._make("O")

    def execution(self) -> str:
        """Return an execution id, e.g. `TB3N5Q-LX8YD-4KEJWM`."""
        return self._make("T")

    def ledger(self) -> str:
        """Return a ledger id, e.g. `LH2PCV-9DKSA-M7TWQX`."""
        return self._make("L")

    def reference(self) -> str:
        """Return the id of what a ledger row is about when it is no trade."""
        return self._make("Q")

    def secret_bytes(self, count: int) -> bytes:
        """Return bytes for a made-up key."""
        return bytes(int(self._random() * 256) for _ in range(count))

    def _make(self, first: str) -> str:
        while True:
            rest = "".join([_LETTERS[int(self._random() * 32)] for _ in range(16)])
            name = f"{first}{rest[:5]}-{rest[5:10]}-{rest[10:]}"
            if name not in self._made:
                self._made.add(name)
                return name
