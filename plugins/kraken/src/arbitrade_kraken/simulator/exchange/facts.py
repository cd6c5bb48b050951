"""Make the packaged list of pairs from an `AssetPairs` answer.

    python -m arbitrade_kraken.simulator.exchange.facts AssetPairs.json --instrument instrument.json

writes `data/pairs.csv`, `data/assets.csv` and `data/fees.csv` beside this module: names, decimals,
minimums, statuses and fees, nothing else of the answer.  The packaged files come from the answer of
January 2026 (the last with fee schedules in it); ledger precisions come from the `instrument`
snapshot of April 2024 where it lists the asset, and are `10` for the rest, or `5` where every pair
of the asset trades five decimals.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

FOSSILS = {
    "ZUSD": "USD", "ZEUR": "EUR", "ZGBP": "GBP", "ZAUD": "AUD", "ZCAD": "CAD", "ZJPY": "JPY",
    "XETH": "ETH", "XLTC": "LTC", "XETC": "ETC", "XMLN": "MLN", "XXMR": "XMR", "XREP": "REP",
    "XXRP": "XRP", "XXLM": "XLM", "XZEC": "ZEC", "XXBT": "BTC", "XXDG": "DOGE",
}  # fmt: skip
"""The REST ids that differ from the v2 name: a table, because stripping letters corrupts others."""

PAIR_COLUMNS = (
    "key", "altname", "wsname", "base_id", "quote_id", "price_decimals", "lot_decimals",
    "cost_decimals", "tick", "minimum_quantity", "minimum_cost", "status", "schedule",
    "leverage_buy", "leverage_sell", "long_limit", "short_limit",
)  # fmt: skip
ASSET_COLUMNS = ("asset_id", "altname", "name", "decimals", "display_decimals")
FEE_COLUMNS = ("schedule", "side", "volume", "percent")

DATA = Path(__file__).with_name("data")

type Rows = Iterable[Sequence[object]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the three files; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m arbitrade_kraken.simulator.exchange.facts",
        description="Make the simulator's list of pairs from an AssetPairs answer.",
    )
    parser.add_argument("answer", type=Path, help="JSON of AssetPairs with fee schedules")
    parser.add_argument("--instrument", type=Path, help="an `instrument` snapshot frame")
    parser.add_argument("--out", type=Path, default=DATA, help="folder, default: beside the module")
    given = parser.parse_args(arguments)
    answer = json.loads(given.answer.read_text())
    frame = json.loads(given.instrument.read_text()) if given.instrument else {}
    count = write_facts(answer.get("result", answer), frame, given.out)
    sys.stderr.write(f"{count} pairs written to {given.out}\n")
    return 0


def write_facts(pairs: Mapping[str, Any], frame: Mapping[str, Any], out: Path) -> int:
    """Write the three files into `out`; return the number of pairs."""
    schedules = _schedules(pairs)
    _write(out / "pairs.csv", PAIR_COLUMNS, _pair_rows(pairs, schedules))
    _write(out / "assets.csv", ASSET_COLUMNS, _asset_rows(pairs, frame))
    _write(out / "fees.csv", FEE_COLUMNS, _fee_rows(schedules))
    return len(pairs)


def _write(path: Path, columns: Sequence[str], rows: Rows) -> None:
    with path.open("w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _fees_of(pair: Mapping[str, Any]) -> str:
    return json.dumps([pair["fees"], pair["fees_maker"]])


def _schedules(pairs: Mapping[str, Any]) -> dict[str, str]:
    """Return a letter for each pair of fee ladders, the commonest first."""
    counts: dict[str, int] = {}
    for pair in pairs.values():
        counts[_fees_of(pair)] = counts.get(_fees_of(pair), 0) + 1
    ordered = sorted(counts, key=lambda text: (-counts[text], text))
    return {text: chr(ord("A") + place) for place, text in enumerate(ordered)}


def _pair_rows(pairs: Mapping[str, Any], schedules: Mapping[str, str]) -> Rows:
    for key, pair in pairs.items():
        yield (
            key,
            pair["altname"],
            pair["wsname"],
            pair["base"],
            pair["quote"],
            pair["pair_decimals"],
            pair["lot_decimals"],
            pair["cost_decimals"],
            pair["tick_size"],
            pair["ordermin"],
            pair["costmin"],
            pair["status"],
            schedules[_fees_of(pair)],
            max(pair["leverage_buy"], default=""),
            max(pair["leverage_sell"], default=""),
            pair.get("long_position_limit", ""),
            pair.get("short_position_limit", ""),
        )


def _asset_rows(pairs: Mapping[str, Any], frame: Mapping[str, Any]) -> Rows:
    known = {row["id"]: row for row in frame.get("data", {}).get("assets", ())}
    lots: dict[str, int] = {}
    altnames: dict[str, str] = {}
    for pair in pairs.values():
        base, quote = pair["base"], pair["quote"]
        altnames[base], altnames[quote] = pair["wsname"].split("/")
        lots[base] = max(lots.get(base, 0), pair["lot_decimals"])
        lots.setdefault(quote, 0)
    for asset_id, altname in altnames.items():
        name = FOSSILS.get(asset_id, asset_id)
        guessed = 5 if lots[asset_id] == 5 else 10
        row = known.get(name, {"precision": guessed, "precision_display": 5})
        yield asset_id, altname, name, row["precision"], row["precision_display"]


def _fee_rows(schedules: Mapping[str, str]) -> Rows:
    for text, letter in schedules.items():
        for side, ladder in zip(("taker", "maker"), json.loads(text), strict=True):
            for volume, percent in ladder:
                yield letter, side, volume, percent


if __name__ == "__main__":
    raise SystemExit(main())
