import asyncio
import logging
import signal
import socket

import pytest

from arbitrade.errors import ConfigError
from arbitrade.protocols import Service
from arbitrade.testing.contracts import ServiceContract
from arbitrade.testing.patience import PATIENCE_S
from arbitrade_web.config import WebSettings
from arbitrade_web.server import HealthService


async def get(service: HealthService, path: str) -> tuple[str, str]:
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(*await service.address())
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    return head, body


async def stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture
def service(view):
    return HealthService(WebSettings(enabled=True, port=0), view)


class TestContract(ServiceContract):
    @pytest.fixture
    def service(self, service):
        return service


async def test_health_readiness_and_metrics_answer_over_a_real_socket(service):
    running = asyncio.create_task(service.run())
    head, body = await get(service, "/healthz")
    assert head.startswith("HTTP/1.1 200")
    assert body == '{"status": "ok"}'
    assert (await get(service, "/readyz"))[0].startswith("HTTP/1.1 200")
    assert "arbitrade_books 3.0" in (await get(service, "/metrics"))[1]
    await stop(running)


async def test_start_is_logged_once_with_the_port_it_got(service, caplog):
    caplog.set_level(logging.DEBUG)
    running = asyncio.create_task(service.run())
    _, port = await service.address()
    await get(service, "/healthz")
    await stop(running)
    (record,) = (record for record in caplog.records if record.name.startswith(("uvicorn", "arbi")))
    assert record.getMessage() == "web.listening"
    assert record.port == port


async def test_answers_do_not_name_the_server_software(service):
    running = asyncio.create_task(service.run())
    head, _ = await get(service, "/healthz")
    assert "uvicorn" not in head.lower()
    await stop(running)


async def test_cancelled_service_frees_its_port(service):
    running = asyncio.create_task(service.run())
    await get(service, "/healthz")
    address = await service.address()
    await stop(running)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)


async def test_service_cancelled_before_it_began_ends_as_well(service):
    running = asyncio.create_task(service.run())
    await asyncio.sleep(0)
    await stop(running)


async def test_idle_connection_does_not_hold_up_the_end(service):
    running = asyncio.create_task(service.run())
    await get(service, "/healthz")
    _, writer = await asyncio.open_connection(*await service.address())
    await stop(running)
    writer.close()


async def test_signal_handlers_are_left_to_the_process(service):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    running = asyncio.create_task(service.run())
    await get(service, "/healthz")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    await stop(running)


async def test_service_fits_the_role(service):
    named: Service = service
    assert named.name == "health"
    running = asyncio.create_task(service.run())
    await asyncio.sleep(0)
    await stop(running)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "example.org", "::", ""])
def test_host_beyond_loopback_is_refused(view, host):
    with pytest.raises(ConfigError, match=r"^web\.host: .* is not a loopback address"):
        HealthService(WebSettings(enabled=True, host=host), view)


async def test_port_that_is_taken_is_reported(view):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"^web\.port: can't listen .* port {port} "):
            await HealthService(WebSettings(enabled=True, port=port), view).run()


@pytest.mark.parametrize("port", [-1, 65_536])
def test_port_that_does_not_exist_is_refused(view, port):
    with pytest.raises(ConfigError, match=rf"^web\.port: {port} is not a port"):
        HealthService(WebSettings(enabled=True, port=port), view)


async def test_service_can_run_again_after_it_was_cancelled(service):
    for _ in range(2):
        running = asyncio.create_task(service.run())
        assert (await get(service, "/healthz"))[0].startswith("HTTP/1.1 200")
        await stop(running)


async def test_service_listens_on_the_other_loopback_as_well(view):
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    service = HealthService(WebSettings(enabled=True, host="::1", port=0), view)
    running = asyncio.create_task(service.run())
    assert (await get(service, "/healthz"))[0].startswith("HTTP/1.1 200")
    await stop(running)
