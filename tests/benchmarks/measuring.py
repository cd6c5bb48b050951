"""What the benchmarks share: spreads of times, engines of both kinds, runs of `arbitrade detect`.

Imported by the scripts beside it; Python puts their folder first on its path.
"""

import gc
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import attrs

from arbitrade.config import Settings
from arbitrade.engine.assembly import assemble
from arbitrade.engine.engine import Engine
from arbitrade.hot import INTERPRETED, REQUIRED
from arbitrade.models import Opportunity
from arbitrade.plugins import discover
from arbitrade.synthetic import MarketSettings, SyntheticMarket

KINDS = ("compiled", "interpreted")

# A process remembers its largest size from before it became another program, so `detect` is started
# by a small one, not by a benchmark that holds a market.
_LAUNCHER = """
import json, os, subprocess, sys
child = subprocess.Popen(sys.argv[2:])
if hasattr(os, "wait4"):
    _, status, usage = os.wait4(child.pid, 0)
    code, peak = os.waitstatus_to_exitcode(status), usage.ru_maxrss
    peak = peak if sys.platform == "darwin" else peak * 1024
else:
    code, peak = child.wait(), None
with open(sys.argv[1], "w") as out:
    json.dump(peak, out)
sys.exit(code)
"""


@attrs.frozen
class Spread:
    """Distribution of times, in microseconds."""

    p50: float
    p99: float
    mean: float

    @classmethod
    def of(cls, times_ns: Sequence[int], overhead_ns: int) -> "Spread":
        """Return the spread of what the timer read, its own cost taken off."""
        ordered = sorted(times_ns)
        count = len(ordered)

        def micros(value: float) -> float:
            return round(max(0.0, value - overhead_ns) / 1000, 3)

        return cls(
            micros(ordered[count // 2]),
            micros(ordered[count * 99 // 100]),
            micros(sum(ordered) / count),
        )


@attrs.frozen
class Detected:
    """What one run of `arbitrade detect` said and took.

    Args:
        summary: As `--summary` writes it.
        peak_mb: Largest resident size of the process, in 10^6 bytes; None where the system doesn't
            tell.
    """

    summary: dict[str, object]
    peak_mb: float | None

    @property
    def frames_per_s(self) -> float:
        """First frame read to last result written."""
        value = self.summary["frames_per_s"]
        assert isinstance(value, float)
        return value

    def latency_us(self, name: str) -> float:
        """Return `p50`, `p99` or `p999` of the time a frame takes."""
        latency = self.summary["latency_us"]
        assert isinstance(latency, dict)
        value = latency[name]
        assert isinstance(value, float | int)
        return float(value)


def make_engine(kind: str, **sections: Mapping[str, object]) -> Engine:
    """Return an engine with the installed detectors, put together as every command does it.

    Args:
        kind: "compiled" or "interpreted"; see `is_compiled` for what came out.
        sections: Settings of plugins, by their names.
    """
    registry = discover()
    settings = Settings(sections=sections)
    registry.configure(settings)

    def ignore(opportunities: Sequence[Opportunity], position: int) -> None:
        """Nobody trades here."""

    with _path_of(kind):
        return assemble(settings, registry, registry.make_venue(settings, "kraken"), ignore)


def is_compiled() -> bool:
    """True when this installation has the compiled path."""
    return make_engine("compiled").hot_path == "compiled"


def kinds() -> tuple[str, ...]:
    """Return the kinds of engine there are here."""
    return KINDS if is_compiled() else ("interpreted",)


def times_of(on_frame: Callable[[bytes], object], frames: Sequence[bytes]) -> list[int]:
    """Return the nanoseconds each frame took, the timer's own cost included."""
    clock = time.perf_counter_ns
    times = [0] * len(frames)
    with frozen_garbage():
        for at, frame in enumerate(frames):
            begun = clock()
            on_frame(frame)
            times[at] = clock() - begun
    return times


@contextmanager
def frozen_garbage() -> Iterator[None]:
    """Collect, then keep what is there out of later collections, which stay on."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def write_recording(path: Path, settings: MarketSettings) -> None:
    """Write a synthetic market as a plain recording."""
    with path.open("wb") as out:
        out.writelines(frame + b"\n" for frame in SyntheticMarket(settings).frames())


def run_detect(
    recording: Path | Iterable[bytes], kind: str, options: Sequence[str] = ()
) -> Detected:
    """Run `arbitrade detect --summary` with its results thrown away.

    Args:
        recording: A file, or pieces that are written to its standard input.
        kind: "compiled" or "interpreted".
        options: More of its options.

    Raises:
        SystemExit: It failed; with what it wrote to standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        peak, summary, errors = (Path(folder, name) for name in ("peak", "summary", "errors"))
        name = str(recording.resolve()) if isinstance(recording, Path) else "-"
        command = [sys.executable, "-c", _LAUNCHER, str(peak), sys.executable, "-m", "arbitrade"]
        command += ["detect", name, "--summary", str(summary), "--out", os.devnull, *options]
        with errors.open("wb") as stderr, _path_of(kind):
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stderr, cwd=folder
            )
        assert child.stdin is not None
        with child, child.stdin as pipe:
            if not isinstance(recording, Path):
                _write_all(pipe.write, recording)
        if child.returncode:
            raise SystemExit(f"arbitrade detect failed:\n{errors.read_text(encoding='utf-8')}")
        size = json.loads(peak.read_text())
        return Detected(
            json.loads(summary.read_text(encoding="utf-8")),
            None if size is None else round(size / 1e6, 1),
        )


def machine() -> str:
    """Return what this ran on, in one line."""
    return (
        f"{platform.machine()} ({_cpu()}), {os.cpu_count()} cores, {platform.system()}, "
        f"CPython {platform.python_version()}"
    )


def today() -> str:
    """Return the date as the documents write it."""
    now = datetime.now(UTC)
    return f"{now.day} {now:%B %Y}"


def command_line(script: str, arguments: Sequence[str] | None) -> str:
    """Return the command that was given, to be run again from the repository's root."""
    given = sys.argv[1:] if arguments is None else arguments
    return shlex.join(["uv", "run", "python", f"tests/benchmarks/{script}", *given])


def replace_part(document: Path, name: str, text: str) -> None:
    """Put `text` between the markers `<!-- name: begin … -->` and `<!-- name: end -->`.

    Raises:
        SystemExit: The document has no such markers.
    """
    before, begin, rest = document.read_text(encoding="utf-8").partition(f"<!-- {name}: begin")
    marker, _, rest = rest.partition("-->\n")
    _, end, after = rest.partition(f"<!-- {name}: end -->")
    if not begin or not end:
        raise SystemExit(f"{document}: no markers <!-- {name}: begin --> and <!-- {name}: end -->")
    document.write_text(
        f"{before}{begin}{marker}-->\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8"
    )


@contextmanager
def _path_of(kind: str) -> Iterator[None]:
    """Have engines, of this process or a child, take the path of this kind."""
    wanted = {INTERPRETED: "0"} if kind == "compiled" else {INTERPRETED: "1", REQUIRED: "0"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _write_all(write: Callable[[bytes], object], pieces: Iterable[bytes]) -> None:
    try:
        for piece in pieces:
            write(piece)
    except BrokenPipeError:
        pass  # It ended early; its exit code and standard error say why.


def _cpu() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"
