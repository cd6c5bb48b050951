"""Settings section `alerts`."""

import attrs

from arbitrade import Secret, Severity, setting


@attrs.frozen
class AlertSettings:
    """Where alerts go, and which."""

    urls: Secret | None = setting(
        None,
        "Addresses as apprise writes them, separated by white space; unset, no alerts are sent.",
        example="tgram://TOKEN/CHAT mailto://USER:PASSWORD@mail.example",
    )
    minimum_severity: Severity = setting(
        Severity.WARNING, "Alerts less severe than this are not sent."
    )
    # Below the 30 s after which core gives up on a sink, so that the message names the service.
    timeout_s: float = setting(
        10.0, "Time one delivery may take before it counts as failed.", minimum=0.1, maximum=25
    )
