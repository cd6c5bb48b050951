"""`arbitrade replay`: decide a recorded run once more, and compare."""

from typing import TYPE_CHECKING

import click
import orjson

from arbitrade.errors import ArbitradeError
from arbitrade.plain_json import to_json

if TYPE_CHECKING:
    from arbitrade.trading.run.replay import Divergence, Verdict


@click.command(
    epilog="""\b
Examples:
  arbitrade replay ~/.arbitrade/recordings/run-af999a27-20261122T164001Z-0001.jsonl.zst
  arbitrade replay run.jsonl --json"""
)
@click.argument("recording", type=click.Path(allow_dash=True))
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def replay(recording: str, as_json: bool) -> None:
    """Replay the recording of a run, and compare every decision with what the run decided.

    Uses the run's own settings, which are on the recording.  The same decisions give the same
    rolling hash; the first one that differs is shown side by side, and ends with exit code 1.
    """
    from arbitrade.config import LogSettings
    from arbitrade.plugins import discover
    from arbitrade.process.logs import configure
    from arbitrade.recording import RecordingReader
    from arbitrade.trading.run.replay import Replay

    configure(LogSettings(level="warning"))
    with RecordingReader(recording) as reader:
        verdict = Replay(reader, discover()).run()
    if as_json:
        click.echo(orjson.dumps(_as_json(verdict)).decode())
    else:
        click.echo(_as_text(recording, verdict))
    if not verdict.is_same:
        raise ArbitradeError(f"{recording}: the replay decided differently; see above")


def _as_json(verdict: "Verdict") -> dict[str, object]:
    return {**to_json(verdict), "is_same": verdict.is_same}


def _as_text(recording: str, verdict: "Verdict") -> str:
    rows = [
        f"{recording}: run {verdict.run}, {verdict.frames:,} frames, "
        f"{verdict.decisions:,} decisions",
        f"  recorded hash  {verdict.recorded_hash}",
        f"  replayed hash  {verdict.decision_hash}",
    ]
    if not verdict.is_complete:
        rows.append("  the recording ends before the run did; compared as far as it goes")
    if verdict.divergence is not None:
        rows += _side_by_side(verdict.divergence)
    elif verdict.recorded_hash == verdict.decision_hash:
        rows.append("  every decision is the same, bit for bit")
    else:
        rows.append("  every decision on the recording is the same")
    return "\n".join(rows)


def _side_by_side(divergence: "Divergence") -> list[str]:
    rows = [f"  decision {divergence.number} differs, at line {divergence.line}:"]
    for name, decided in (("recorded", divergence.recorded), ("replayed", divergence.replayed)):
        told = "nothing more" if decided is None else f"{decided.what} {dict(decided.fields)}"
        rows.append(f"    {name}  {told}")
    return rows
