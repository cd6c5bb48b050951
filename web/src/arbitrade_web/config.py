"""Settings section `web`."""

import attrs

from arbitrade import setting


@attrs.frozen
class WebSettings:
    """The HTTP server for health, readiness and metrics."""

    enabled: bool = setting(False, "Serve beside long-running commands such as `record`.")
    host: str = setting(
        "127.0.0.1", "Loopback address to listen on; others are refused, as there is no login yet."
    )
    port: int = setting(
        8433, "TCP port to listen on; 0 takes a free one.", minimum=0, maximum=65_535
    )
