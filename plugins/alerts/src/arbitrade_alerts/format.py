"""From an alert to the plain text that channels take.  Pure."""

from arbitrade import Alert

TITLE_LIMIT = 200
"""Characters of a title; mail subjects and push notifications cut off around there."""

MESSAGE_LIMIT = 2000
"""Characters of title and body together: Discord's limit, the lowest of the common channels
(Telegram takes 4096)."""

_CUT = "…"


def title_of(alert: Alert) -> str:
    """Return one line: severity, subject if there is one, title; at most `TITLE_LIMIT` long."""
    subject = f"{alert.subject}: " if alert.subject else ""
    one_line = " ".join(f"[{alert.severity.name}] {subject}{alert.title}".split())
    return shorten(one_line, TITLE_LIMIT)


def body_of(alert: Alert) -> str:
    """Return the text below the title; the title again if there is none, as channels want a body.

    Title and body together stay within `MESSAGE_LIMIT`.
    """
    title = title_of(alert)
    return shorten(alert.body.strip() or title, MESSAGE_LIMIT - len(title))


def shorten(text: str, limit: int) -> str:
    """Return `text`, its end replaced by an ellipsis when it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    return text[: limit - len(_CUT)].rstrip() + _CUT
