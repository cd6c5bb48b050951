"""What the scripts share: where the simulator is, its control API, books as the oracle has them.

A script reads one JSON object from standard input (addresses and key) and prints one: what its
client saw.  Nothing here knows a client; nothing here needs more than Python.
"""

import asyncio
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

PATIENCE_S = 120.0

type Answer = dict[str, Any]
type Levels = list[tuple[Decimal, Decimal]]


class Simulator:
    """A simulator as a script sees it; its market stands still but for `step`."""

    def __init__(self, given: Answer) -> None:
        self.rest: str = given["rest"]
        self.ws: str = given["ws"]
        self.ws_auth: str = given["ws_auth"]
        self.key: str = given["key"]
        self.secret: str = given["secret"]
        self.account: str = given["account"]
        self._control: str = given["control"]

    @classmethod
    def given(cls) -> "Simulator":
        """Return the one that standard input tells of."""
        return cls(json.load(sys.stdin))

    def control(self, path: str, **wishes: object) -> Answer:
        """Ask the control API; with wishes it is a POST.  Amounts come back as texts."""
        body = json.dumps(wishes).encode() if wishes else None
        request = urllib.request.Request(f"{self._control}/{path}", data=body)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            answer = json.load(response)
        assert isinstance(answer, dict)
        return answer

    def step(self, count: int) -> None:
        """Let the market move so many times."""
        self.control("step", count=count)

    def rest_a_minute(self) -> None:
        """Let the venue's clock run ahead, so that it forgets how many calls there were."""
        self.control("clock", forward_s=60)

    def pairs(self) -> list[str]:
        """Return the symbols of all pairs."""
        with urllib.request.urlopen(self._control, timeout=PATIENCE_S) as response:
            return list(json.load(response)["pairs"])

    def book(self, symbol: str, depth: int) -> dict[str, Levels]:
        """Return the true book, best first, at most so many levels a side."""
        book = self.control(f"book/{symbol}")
        return {
            side: [(Decimal(price), Decimal(size)) for price, size in book[side][:depth]]
            for side in ("bids", "asks")
        }

    def oracle(self) -> Answer:
        """Return what the exchange knows of the account."""
        return self.control(f"oracle/{self.account}")


async def until(condition: Callable[[], bool], watching: Sequence[asyncio.Task[None]] = ()) -> bool:
    """Return whether a condition came true in time; raises what ended a watching task."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        for task in watching:
            if task.done():
                task.result()
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.005)
    return True


def report(**seen: object) -> None:
    """Print what the client saw, as the last line."""
    print(json.dumps(seen, default=str))


def refusal(call: Callable[[], object]) -> str:
    """Return how a client names the refusal of a call: its class and its words."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no refusal"
