"""`Link` over loopback sockets: what keeps a socket up, whoever uses it and whoever reads it."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import attrs
import orjson
import pytest
import structlog

from arbitrade import SystemClock
from arbitrade.errors import AuthenticationError, MessageError, VenueUnavailableError
from arbitrade.models import VenueState
from arbitrade_kraken.together import while_running
from arbitrade_kraken.wire.choosing import choose_transport
from arbitrade_kraken.wire.link import Access, Address, Link, LostError, attempts_budget
from arbitrade_kraken.wire.opening import (
    AnyWire,
    ConnectionRefusedByVenueError,
    OnBuffer,
    OnEnd,
    OnMessage,
    OpenWire,
)

PING = b'{"method":"ping","req_id":1}'


class Tenant:
    """An owner that follows the script of its test, and remembers what it was told."""

    on_buffer: OnBuffer | None = None

    def __init__(self, pulse: Any, settings: Any, access: Access, name: str = "test") -> None:
        self.pulse = pulse
        self.is_needed = True
        self.prepared = 0
        self.carried = 0
        self.frames: list[bytes] = []
        self.lost: list[str] = []
        self.failing: list[str] = []
        self.problems: list[Exception] = []
        self.preparing: list[Exception] = []
        self.heartbeats = True
        address = Address(settings.ws_url, "kraken.ws_url", {"connection": name})
        self.link = Link(self, address, settings, access)

    async def prepare(self) -> None:
        self.prepared += 1
        if self.preparing:
            raise self.preparing.pop(0)

    def on_frame(self, frame: bytes) -> None:
        self.frames.append(frame)
        if self.problems:
            raise self.problems.pop(0)
        message = orjson.loads(frame)
        if message.get("channel") == "status":
            self.link.greeted(VenueState.parse(message["data"][0]["system"]))
        self.pulse.beat()

    async def carry(self) -> None:
        self.carried += 1
        if self.heartbeats:
            self.link.expect_heartbeats()
        self.link.stands()
        self.pulse.beat()
        while self.is_needed:
            await self.link.rest()

    def ping(self) -> None:
        self.link.send(PING)

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)
        self.pulse.beat()

    def on_failing(self, reason: str) -> None:
        self.failing.append(reason)


@pytest.fixture
def access(transport: Any) -> Access:
    clock = SystemClock()
    return Access(
        choose_transport(transport), attempts_budget(100, clock), clock, Random(3), Counter()
    )


@pytest.fixture
def tenant(pulse: Any, quick: Callable[..., Any], access: Access) -> Callable[..., Tenant]:
    """Make an owner with a link to the scripted venue; `open_wire` and settings may differ."""

    def make(changes: dict[str, Any] | None = None, **settings: Any) -> Tenant:
        return Tenant(pulse, quick(**settings), attrs.evolve(access, **(changes or {})))

    return make


@asynccontextmanager
async def running(owner: Tenant) -> "AsyncIterator[asyncio.Task[None]]":
    """Run a link for the length of the block."""
    task = asyncio.create_task(owner.link.run())
    task.add_done_callback(lambda _: owner.pulse.beat())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every wait between sockets that was asked for; none is waited."""
    asked: list[float] = []
    sleep = asyncio.sleep

    async def no_sleep(seconds: float) -> None:
        asked.append(seconds)
        await sleep(0)

    monkeypatch.setattr("arbitrade_kraken.wire.link.asyncio.sleep", no_sleep)
    return asked


# ── a socket that stands ─────────────────────────────────────────────────────────────────────────


async def test_a_greeted_socket_is_carried_and_counts_what_it_receives(
    kraken: Any, tenant: Callable[..., Tenant]
) -> None:
    owner = tenant()
    async with running(owner):
        await kraken.pulse.until(lambda: owner.carried == 1)
        assert owner.link.is_up
        assert owner.link.state is VenueState.ONLINE
        assert owner.link.received()["frames"] == 1
        bytes_once = owner.link.received()["bytes"]
        kraken.visitors[0].close(1001)
        await kraken.pulse.until(lambda: owner.carried == 2)
        assert owner.link.received()["bytes"] > bytes_once
    assert not owner.link.is_up


async def test_a_link_that_is_ended_says_goodbye_and_tells_its_owner_nothing(
    kraken: Any, tenant: Callable[..., Tenant]
) -> None:
    owner = tenant()
    async with running(owner):
        await kraken.pulse.until(lambda: owner.carried == 1)
    await kraken.pulse.until(lambda: kraken.visitors[0].is_gone)
    assert kraken.visitors[0].library.close_rcvd.code == 1000
    assert owner.lost == []


async def test_no_socket_is_opened_while_nothing_is_to_be_carried(
    kraken: Any, tenant: Callable[..., Tenant]
) -> None:
    owner = tenant()
    owner.is_needed = False
    async with running(owner) as task:
        for _ in range(20):
            await asyncio.sleep(0)
        assert kraken.attempts == 0
        owner.is_needed = True
        owner.link.wake()
        await kraken.pulse.until(lambda: owner.carried == 1)
        owner.is_needed = False
        owner.link.wake()
        await kraken.pulse.until(lambda: kraken.visitors[0].is_gone)
        owner.is_needed = True
        owner.link.wake()
        await kraken.pulse.until(lambda: owner.carried == 2)
        assert not task.done()
    assert owner.lost == []  # It was left, not lost.


async def test_a_socket_that_says_nothing_for_long_is_kept_from_being_closed_as_idle(
    kraken: Any, tenant: Callable[..., Tenant]
) -> None:
    owner = tenant(ping_s=0.02)
    async with running(owner):
        await kraken.pulse.until(lambda: len(kraken.requests) >= 3)
    assert all(request["method"] == "ping" for request in kraken.requests)
    assert kraken.attempts == 1


async def test_sending_without_a_socket_does_nothing(tenant: Callable[..., Tenant]) -> None:
    tenant().link.send(b"into the void")


# ── a socket that is lost ────────────────────────────────────────────────────────────────────────


async def test_a_greeting_that_never_comes_costs_the_socket(
    kraken: Any, tenant: Callable[..., Tenant], access: Access
) -> None:
    kraken.greets = False
    owner = tenant(answer_timeout_s=0.05)
    async with running(owner):
        await kraken.pulse.until(lambda: kraken.attempts == 3)
        assert not owner.link.is_up
        kraken.greets = True
        await kraken.pulse.until(lambda: owner.carried == 1)
    assert access.counters["timeouts"] >= 2
    assert owner.lost == []  # A socket that never stood can't be lost.


async def test_silence_is_death_once_heartbeats_are_due(
    kraken: Any, tenant: Callable[..., Tenant], access: Access
) -> None:
    owner = tenant(silence_s=0.1)
    async with running(owner):
        await kraken.pulse.until(lambda: owner.carried == 2)
    assert "not even a heartbeat" in owner.lost[0]
    assert access.counters["silences"] >= 1


async def test_silence_is_nothing_before_heartbeats_are_due(
    kraken: Any, tenant: Callable[..., Tenant], access: Access
) -> None:
    owner = tenant(silence_s=0.02, ping_s=0.1)
    owner.heartbeats = False
    kraken.script = lambda visitor, message: True  # Not even a ping is answered.
    async with running(owner):
        await kraken.pulse.until(lambda: len(kraken.requests) == 2)
    assert access.counters["silences"] == 0
    assert kraken.attempts == 1


async def test_a_frame_without_sense_costs_the_socket_and_its_reason_is_told(
    kraken: Any, tenant: Callable[..., Tenant]
) -> None:
    owner = tenant()
    with structlog.testing.capture_logs() as said:
        async with running(owner):
            await kraken.pulse.until(lambda: owner.carried == 1)
            owner.problems.append(MessageError("kraken: gibberish"))
            kraken.visitors[0].send(b"gibberish")
            await kraken.pulse.until(lambda: owner.carried == 2)
    assert [event["reason"] for event in said if event["event"] == "kraken.connection_lost"] == [
        "kraken: gibberish"
    ]
    assert len(owner.lost) == 1


async def test_a_socket_is_lost_once_and_at_once_where_its_owner_says_so(
    kraken: Any, tenant: Callable[..., Tenant]
) -> None:
    owner = tenant()
    async with running(owner):
        await kraken.pulse.until(lambda: owner.carried == 1)
        owner.link.lose("I know better")
        owner.link.lose("again")
        assert owner.lost == ["I know better"]
        assert not owner.link.is_up
        kraken.visitors[0].close(1001)
        await kraken.pulse.until(lambda: owner.carried == 2)
    assert owner.lost == ["I know better"]


@pytest.mark.parametrize(
    "problem", [KeyError("our bug"), AuthenticationError("no such key")], ids=repr
)
async def test_what_no_new_socket_cures_ends_the_link(
    kraken: Any, tenant: Callable[..., Tenant], problem: Exception
) -> None:
    owner = tenant()
    async with running(owner) as task:
        await kraken.pulse.until(lambda: owner.carried == 1)
        owner.problems.append(problem)
        kraken.visitors[0].send(b"{}")
        await kraken.pulse.until(task.done)
        assert task.exception() is problem
    assert kraken.attempts == 1


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_refusal_that_is_final_names_the_setting_and_is_not_tried_again(
    kraken: Any, tenant: Callable[..., Tenant], status: int
) -> None:
    kraken.refuse_upgrades.append(status)
    with pytest.raises(VenueUnavailableError, match=rf"HTTP {status}.*kraken\.ws_url \(ws://"):
        await tenant().link.run()
    assert kraken.attempts == 1


async def test_a_violation_of_the_venue_s_policy_is_final(
    kraken: Any, tenant: Callable[..., Tenant]
) -> None:
    owner = tenant()
    async with running(owner) as task:
        await kraken.pulse.until(lambda: owner.carried == 1)
        kraken.visitors[0].close(1008, "too many requests")
        await kraken.pulse.until(task.done)
        with pytest.raises(VenueUnavailableError, match=r"1008 too .*not trying again"):
            task.result()


async def test_how_the_socket_ended_says_more_than_what_failed_because_of_it(
    kraken: Any, tenant: Callable[..., Tenant]
) -> None:
    owner = tenant()

    async def asking() -> None:
        owner.carried += 1
        owner.pulse.beat()
        try:
            await owner.link.until(lambda: False, "answer")
        except ConnectionRefusedByVenueError:
            raise VenueUnavailableError("no answer") from None

    owner.carry = asking  # type: ignore[method-assign]
    async with running(owner) as task:
        await kraken.pulse.until(lambda: owner.carried == 1)
        kraken.visitors[0].close(1008, "go away")
        await kraken.pulse.until(task.done)
        with pytest.raises(VenueUnavailableError, match="1008 go away"):
            task.result()


async def test_one_socket_too_many_costs_a_long_wait_other_refusals_a_short_one(
    kraken: Any, tenant: Callable[..., Tenant], access: Access, waits: list[float]
) -> None:
    kraken.refuse_upgrades.extend((429, 503, 502))
    owner = tenant(busy_wait_s=30.0, reconnect_quick=5)
    async with running(owner):
        await kraken.pulse.until(lambda: owner.carried == 1)
    assert [30 <= wait <= 45 for wait in waits] == [True, True, False]
    assert waits[2] == 0
    assert access.counters["connections_refused"] == 3


# ── between two sockets ──────────────────────────────────────────────────────────────────────────


async def test_waits_between_sockets_double_after_the_quick_ones_up_to_the_longest(
    kraken: Any, tenant: Callable[..., Tenant], waits: list[float]
) -> None:
    kraken.refuse_upgrades.extend([502] * 7)
    owner = tenant(reconnect_quick=2, reconnect_s=1.0, reconnect_max_s=4.0)
    async with running(owner):
        await kraken.pulse.until(lambda: owner.carried == 1)
    assert waits[:2] == [0, 0]
    # Each is drawn between half and the whole.
    for wait, whole in zip(waits[2:], [1, 2, 4, 4, 4], strict=True):
        assert whole / 2 <= wait <= whole


async def test_reconnects_slow_down_while_the_venue_is_in_maintenance(
    kraken: Any, tenant: Callable[..., Tenant], waits: list[float]
) -> None:
    kraken.system = "maintenance"
    owner = tenant(maintenance_wait_s=5.0)
    async with running(owner):
        await kraken.pulse.until(lambda: owner.carried == 1)
        kraken.visitors[0].close(1012, "restart")
        await kraken.pulse.until(lambda: owner.carried == 2)
    (wait,) = waits
    assert 5 <= wait <= 7.5


async def test_what_keeps_failing_is_said_once_and_again_after_a_good_time(
    kraken: Any, tenant: Callable[..., Tenant], access: Access
) -> None:
    kraken.refuse_upgrades.extend([502] * 3)
    owner = tenant()
    with structlog.testing.capture_logs() as said:
        async with running(owner):
            await kraken.pulse.until(lambda: owner.carried == 1)
            kraken.refuse_upgrades.extend([502] * 2)
            kraken.visitors[0].close(1001, "bye")
            await kraken.pulse.until(lambda: owner.carried == 2)
    lost = [event for event in said if event["event"] == "kraken.connection_lost"]
    assert ["HTTP 502" in lost[0]["reason"], "1001 bye" in lost[1]["reason"]] == [True, True]
    assert len(lost) == 2
    assert owner.failing == [event["reason"] for event in lost]
    assert {event["connection"] for event in lost} == {"test"}
    assert access.counters["connection_failures"] == 6
    assert access.counters["reconnects"] == 6


async def test_links_share_one_budget_of_attempts(
    kraken: Any, pulse: Any, quick: Callable[..., Any], access: Access
) -> None:
    # Two attempts in ten minutes, one of them at once: two sockets can't both open.
    shared = attrs.evolve(access, attempts=attempts_budget(2, access.clock))
    first, second = (Tenant(pulse, quick(), shared, name) for name in ("first", "second"))
    with structlog.testing.capture_logs() as said:
        async with running(first), running(second):
            await kraken.pulse.until(lambda: first.carried == 1)
            assert kraken.attempts == 1
    assert access.counters["attempts_delayed"] == 1
    (delayed,) = [event for event in said if event["event"] == "kraken.attempts_used_up"]
    assert delayed["connection"] == "second"


async def test_what_a_socket_needs_is_fetched_anew_before_each_and_may_fail_for_now(
    kraken: Any, tenant: Callable[..., Tenant]
) -> None:
    owner = tenant()
    owner.preparing.append(VenueUnavailableError("no token now"))
    async with running(owner):
        await kraken.pulse.until(lambda: owner.carried == 1)
    assert owner.prepared == 2
    assert kraken.attempts == 1


async def test_what_a_socket_needs_and_never_gets_ends_the_link(
    kraken: Any, tenant: Callable[..., Tenant]
) -> None:
    owner = tenant()
    owner.preparing.append(AuthenticationError("no"))
    with pytest.raises(AuthenticationError):
        await owner.link.run()
    assert kraken.attempts == 0


async def test_the_wire_is_opened_with_the_limits_of_the_settings(
    kraken: Any, tenant: Callable[..., Tenant], access: Access
) -> None:
    seen: list[dict[str, Any]] = []
    opens: OpenWire = access.open_wire
    trust = ssl.create_default_context()

    async def noting(url: str, on_message: OnMessage, on_end: OnEnd, **options: Any) -> AnyWire:
        seen.append({"url": url, **options})
        return await opens(url, on_message, on_end, **options)

    owner = tenant({"open_wire": noting, "tls": trust}, max_frame_mb=3, connect_timeout_s=4.0)
    async with running(owner):
        await kraken.pulse.until(lambda: owner.carried == 1)
    (options,) = seen
    assert options == {
        "url": kraken.url,
        "max_size": 3 * 1024 * 1024,
        "timeout_s": 4.0,
        "tls": trust,
        "on_buffer": None,
    }


# ── living together ──────────────────────────────────────────────────────────────────────────────


async def test_what_runs_beside_ends_with_the_work() -> None:
    ended: list[str] = []

    async def beside() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("beside")

    async def work() -> None:
        await asyncio.sleep(0)

    await while_running(work(), beside())
    assert ended == ["beside"]


async def test_what_fails_beside_the_work_ends_it() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async def beside() -> None:
        raise LostError("gone")

    with pytest.raises(LostError, match="gone"):
        await while_running(work(), beside())
    assert ended == ["work"]


async def test_work_goes_on_when_what_is_beside_it_has_ended_well() -> None:
    async def beside() -> None:
        pass

    async def work() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        done.append(True)

    done: list[bool] = []
    await while_running(work(), beside())
    assert done == [True]
