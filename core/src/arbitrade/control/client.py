"""The commands' side of the control socket: plain sockets, no event loop."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs

from arbitrade.control import messages
from arbitrade.control.endpoint import Endpoint, find_endpoint
from arbitrade.control.places import accounts_in
from arbitrade.errors import BotNotRunningError, ControlError

if TYPE_CHECKING:
    import socket

    from arbitrade.api import Answer, BotState

_PIECE = 64 << 10


class ControlClient:
    """Talks to the running bot of an account.

    Each call makes a connection of its own, so a client can be kept as long as one likes.

    Args:
        folder: The state folder of the bot.
        account: Whose bot.
        timeout_s: How long an answer may take.
    """

    def __init__(self, folder: Path, account: str, timeout_s: float = 5.0) -> None:
        self._folder = folder
        self._account = account
        self._timeout_s = timeout_s

    def hello(self) -> dict[str, Any]:
        """Return `account` and `process` of the bot.

        Raises:
            BotNotRunningError: No bot listens.
            ControlError: It doesn't answer in time, or not as it should.  (So with all calls.)
        """
        return self._ask(messages.Request(1, "hello"))

    def state_json(self) -> dict[str, Any]:
        """Return the state as JSON values: the fields of `BotState`, decimals as text."""
        return self._ask(messages.Request(1, "state"))

    def state(self) -> "BotState":
        """Return everything about the bot as it is now."""
        return read_state(self.state_json())

    def updates(self, every_s: float = 1.0) -> "Iterator[BotState]":
        """Yield the state again and again, until the bot ends."""
        with self._connect() as line:
            line.send(messages.Request(1, "subscribe", every_s=every_s))
            while True:
                content = line.receive(self._timeout_s + every_s)
                if not content:
                    return
                yield read_state(messages.read_answer(content))

    def command(
        self,
        name: str,
        arguments: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> "Answer":
        """Have the bot do something, and return what came of it.

        The bot goes on with it when we don't wait any longer.

        Args:
            name: See `arbitrade.api.Command`.
            arguments: See there.
            timeout_s: How long the answer may take; by default that of the client.
        """
        from arbitrade.api import Answer

        request = messages.Request(1, "command", name=name, arguments=dict(arguments or {}))
        fields = self._ask(request, timeout_s)
        details = fields.get("details")
        return Answer(
            fields.get("is_done") is True,
            str(fields.get("message", "")),
            details if isinstance(details, dict) else {},
        )

    def _ask(self, request: messages.Request, timeout_s: float | None = None) -> dict[str, Any]:
        with self._connect() as line:
            line.send(request)
            content = line.receive(self._timeout_s if timeout_s is None else timeout_s)
        if not content:
            raise ControlError(
                f"{self._subject}: closed the connection without an answer; try again"
            )
        try:
            return messages.read_answer(content)
        except ControlError as error:
            raise ControlError(f"{self._subject}: {error}") from None

    def _connect(self) -> "_Line":
        endpoint = find_endpoint(self._folder, self._account)
        if endpoint is None:
            raise self._not_running()
        try:
            return _Line(endpoint, self._subject, endpoint.dial(self._timeout_s))
        except (ConnectionRefusedError, FileNotFoundError, ConnectionResetError):
            raise self._not_running() from None
        except PermissionError:
            raise ControlError(
                f"{self._subject}: its control socket is another user's; run this as that user"
            ) from None
        except OSError as error:
            raise _no_answer(self._subject, str(error)) from None

    @property
    def _subject(self) -> str:
        return f"bot {self._account!r}"

    def _not_running(self) -> BotNotRunningError:
        return BotNotRunningError(
            f"{self._subject}: none runs with state folder {self._folder}; start it with "
            "`arbitrade run`, or name the right one with --account or runtime.folder"
        )


class _Line:
    """A connection to the bot, over which requests and answers go line by line."""

    def __init__(self, endpoint: Endpoint, subject: str, connection: "socket.socket") -> None:
        self._endpoint = endpoint
        self._subject = subject
        self._connection = connection
        self._rest = b""

    def send(self, request: messages.Request) -> None:
        """Send a request, with the token where one is needed."""
        request = attrs.evolve(request, token=self._endpoint.token)
        try:
            self._connection.sendall(messages.write_request(request))
        except OSError as error:
            raise _no_answer(self._subject, str(error)) from None

    def receive(self, timeout_s: float) -> bytes:
        """Return the next line; empty when the other end closed the connection."""
        deadline = time.monotonic() + timeout_s
        pieces = [self._rest]
        while b"\n" not in pieces[-1]:
            if sum(map(len, pieces)) > messages.LONGEST_ANSWER:
                raise ControlError(f"{self._subject}: its answer has no end; is that a bot?")
            piece = self._receive_piece(deadline, timeout_s)
            if not piece:
                return b""
            pieces.append(piece)
        line, _, self._rest = b"".join(pieces).partition(b"\n")
        return line

    def _receive_piece(self, deadline: float, timeout_s: float) -> bytes:
        try:
            self._connection.settimeout(max(deadline - time.monotonic(), 0.001))
            return self._connection.recv(_PIECE)
        except TimeoutError:
            raise _no_answer(self._subject, f"nothing in {timeout_s:g} s") from None
        except ConnectionResetError:
            return b""
        except OSError as error:
            raise _no_answer(self._subject, str(error)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()


def running_accounts(folder: Path) -> list[str]:
    """Return the accounts whose bots listen now, in order."""
    running = []
    for account in accounts_in(folder):
        try:
            endpoint = find_endpoint(folder, account)
        except ControlError:
            continue
        if endpoint is not None and endpoint.is_alive():
            running.append(account)
    return running


def read_state(fields: Mapping[str, Any]) -> "BotState":
    """Return the state in JSON values.

    Raises:
        ControlError: They are none; the bot may be of another version.
    """
    from arbitrade.api import BotState
    from arbitrade.plain_json import from_json

    try:
        return from_json(fields, BotState)
    except Exception as error:  # cattrs has many
        raise ControlError(
            f"the bot's state can't be read ({type(error).__name__}); use the `arbitrade` the bot "
            "was started with"
        ) from error


def _no_answer(subject: str, reason: str) -> ControlError:
    return ControlError(
        f"{subject}: runs but doesn't answer ({reason}); to stop it from trading: arbitrade halt"
    )
