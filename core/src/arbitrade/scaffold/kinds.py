"""The kinds of plugins that can be begun, and what is said about each in its files."""

import attrs


@attrs.frozen
class Kind:
    """One kind of plugin.

    Args:
        name: What it is called; also the folder of its templates.
        summary: One line, for the package index.
        usage: What its README says after how to install it; `${name}` is the plugin's.
        uses: What its code imports beside core.
    """

    name: str
    summary: str
    usage: str
    uses: tuple[str, ...] = ("attrs>=26.1",)


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "detector",
            "Spreads that are wider than two maker fees, for Arbitrade",
            "`arbitrade detect RECORDING --out -` shows what it finds. Such a spread is earned "
            "only if both\nresting orders are filled, so what it reports is marked as blocked.\n\n"
            '```toml\n[${name}]\nmin_edge_bps = "5"   # report what is above this, after fees\n```',
        ),
        Kind(
            "rule",
            "A risk rule for Arbitrade: no cycles through pairs with a wide spread",
            "`arbitrade run` asks it for each opportunity.\n\n"
            '```toml\n[${name}]\nmaximum_spread_bps = "50"   # of the bid\n\n'
            '[live]\nrequired_rules = ["${name}"]   # no real money without it\n```',
        ),
        Kind(
            "executor",
            "An executor for Arbitrade that trades only what is still there a moment later",
            '```toml\n[execution]\nexecutor = "${name}"\n\n[${name}]\nwait_s = 0.05\n```',
        ),
        Kind(
            "sink",
            "Alerts of Arbitrade as a ring of the terminal's bell",
            '```toml\n[${name}]\nlevel = "ERROR"   # and above\n```',
        ),
        Kind(
            "venue",
            "A market for Arbitrade that is a CSV file",
            "`arbitrade run` trades it in paper. Each line of the file is a pair's book:\n"
            "`symbol,bid,bid_size,ask,ask_size`.\n\n"
            '```toml\nvenue = "${name}"\n\n[${name}]\nfile = "market.csv"\npause_s = 0.05\n```',
        ),
        Kind(
            "store",
            "Sightings of Arbitrade in a CSV file",
            "```sh\narbitrade detect RECORDING --out ${name}:found.csv\n```",
            (),
        ),
        Kind(
            "service",
            "The state of a running Arbitrade in a file",
            "It runs beside `arbitrade run` and `arbitrade record`, once it knows the file.\n\n"
            '```toml\n[${name}]\nfile = "state.json"\nevery_s = 1.0\n```',
        ),
        Kind(
            "command",
            "A command for Arbitrade: what prices have to pay before fees leave anything",
            "```sh\narbitrade ${name} --legs 3\n```",
            ("click>=8.5",),
        ),
    )
}
"""By name, in the order they are offered."""
