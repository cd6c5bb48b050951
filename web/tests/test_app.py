import attrs
import pytest
from falcon.testing import TestClient

from arbitrade_web.app import create_app


@pytest.fixture
def client(view) -> TestClient:
    return TestClient(create_app(view))


def test_health_answers_ok(client):
    answer = client.simulate_get("/healthz")
    assert answer.status_code == 200
    assert answer.json == {"status": "ok"}


def test_ready_command_answers_200_with_its_books(client):
    answer = client.simulate_get("/readyz")
    assert answer.status_code == 200
    assert answer.json == {"status": "ready", "command": "record", "books_in_sync": 2, "books": 3}


def test_command_that_does_not_do_its_job_answers_503(client, view):
    view.now = attrs.evolve(view.now, is_ready=False, books_in_sync=0)
    answer = client.simulate_get("/readyz")
    assert answer.status_code == 503
    assert answer.json["status"] == "not ready"
    assert client.simulate_get("/healthz").status_code == 200


def test_metrics_show_the_state_in_prometheus_text(client):
    answer = client.simulate_get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = answer.text.splitlines()
    assert "arbitrade_ready 1.0" in lines
    assert "arbitrade_books 3.0" in lines
    assert "arbitrade_books_in_sync 2.0" in lines
    assert 'arbitrade_count{name="book.resyncs"} 1.0' in lines
    assert 'arbitrade_count{name="feed.frames"} 12.0' in lines
    assert 'arbitrade_plugin_enabled{plugin="kraken"} 1.0' in lines
    assert 'arbitrade_plugin_enabled{plugin="statarb"} 0.0' in lines
    assert 'arbitrade_plugin_enabled{plugin="bell"} 0.0' in lines


def test_metrics_follow_the_state_from_request_to_request(client, view):
    client.simulate_get("/metrics")
    view.now = attrs.evolve(view.now, counters={"feed.frames": 99})
    assert 'name="feed.frames"} 99.0' in client.simulate_get("/metrics").text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/nowhere"])
def test_every_answer_carries_the_security_headers(client, path):
    headers = client.simulate_get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_nothing_can_be_changed_over_http(client, path):
    assert client.simulate_post(path).status_code == 405


class BrokenView:
    def status(self):
        raise RuntimeError("s3cr3t detail")


@pytest.mark.filterwarnings("ignore")
def test_failure_inside_shows_no_detail_and_keeps_the_headers(capsys):
    answer = TestClient(create_app(BrokenView())).simulate_get("/readyz")
    assert answer.status_code == 500
    assert "s3cr3t" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
