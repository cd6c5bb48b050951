"""The venue's names: REST asset ids and the names WebSocket v2 uses for the same things."""

_RENAMED = {"XBT": "BTC", "XDG": "DOGE"}

_FOSSILS = {
    **{f"Z{name}": name for name in ("USD", "EUR", "GBP", "AUD", "CAD", "JPY")},
    **{
        f"X{name}": name for name in ("ETH", "LTC", "ETC", "MLN", "REP", "XRP", "XLM", "XMR", "ZEC")
    },
    "XXBT": "BTC",
    "XXDG": "DOGE",
}
"""The only asset ids that differ from the v2 name.  Stripping a leading X or Z by pattern would
corrupt real assets (XION, ZETA, XAUT, …)."""


def asset_name(rest_id: str) -> str:
    """Return the v2 name of a REST asset id or altname: `XXBT` is `BTC`, `SOL` is `SOL`."""
    fossil = _FOSSILS.get(rest_id)
    return fossil if fossil is not None else _RENAMED.get(rest_id, rest_id)


def pair_symbol(wsname: str) -> str:
    """Return the v2 symbol of a v1 `wsname`: `XBT/USD` is `BTC/USD`.

    Renames whole assets on either side, never parts of a name.
    """
    base, _, quote = wsname.partition("/")
    return f"{_RENAMED.get(base, base)}/{_RENAMED.get(quote, quote)}"
