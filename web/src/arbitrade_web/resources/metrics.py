"""`/metrics` in Prometheus' text format."""

from collections.abc import Iterator

import attrs
import falcon.asgi
from prometheus_client.core import GaugeMetricFamily, Metric, UntypedMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from arbitrade.api import Status, View


@attrs.frozen
class Metrics:
    """What is counted, read at the moment of the request: nothing is kept twice."""

    view: View

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer with every metric."""
        resp.content_type = CONTENT_TYPE_PLAIN_0_0_4
        resp.data = generate_latest(_StatusCollector(self.view.status()))


@attrs.frozen
class _StatusCollector(Collector):
    status: Status

    def collect(self) -> Iterator[Metric]:
        status = self.status
        yield GaugeMetricFamily(
            "arbitrade_ready", "1 when connected and at least one book is in sync.", status.is_ready
        )
        yield GaugeMetricFamily("arbitrade_books", "Books subscribed.", status.books)
        yield GaugeMetricFamily(
            "arbitrade_books_in_sync", "Books that can be trusted now.", status.books_in_sync
        )
        # Not a counter to Prometheus: some of them, such as open connections, also fall.
        counts = UntypedMetricFamily(
            "arbitrade_count", "Everything that is counted, by dotted name.", labels=["name"]
        )
        for name, count in sorted(status.counters.items()):
            counts.add_metric([name], count)
        yield counts
        plugins = GaugeMetricFamily(
            "arbitrade_plugin_enabled", "1 when the plugin is enabled.", labels=["plugin"]
        )
        for name, state in sorted(status.plugins.items()):
            plugins.add_metric([name], state == "enabled")
        yield plugins
