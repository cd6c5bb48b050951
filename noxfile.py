"""What "checked" means here.  Continuous integration and pre-commit call these sessions.

    uv run nox                       all checks
    uv run nox -s lint               one of them
    uv run nox -s plugins -- kraken  suites of some distributions only
    uv run nox -s pins               take the newest versions of everything and pin them

Checks run in the workspace's own environment through `uv run`, so they need uv and nothing else.
Where an environment has to be fresh (`plugins`), the session makes it with uv itself.
"""

import argparse
import os
import shutil
import sys
import tomllib
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2026.10"
nox.options.sessions = [
    "lint",
    "types",
    "imports",
    "tests",
    "interpreted",
    "fuzz",
    "plugins",
    "strangers",
    "docs",
    "bench",
    "guard",
]
# Nothing is installed by nox: it would have to find uv, which may be a module of another Python.
nox.options.default_venv_backend = "none"

ROOT = Path(__file__).parent
# `uv run` tells its children which uv it is.
UV = os.environ.get("UV") or shutil.which("uv") or "uv"

CORE = ROOT / "core"
MEMBERS = [
    CORE,
    *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml")),
    ROOT / "web",
]
# What may come out differently when another implementation runs.
HOT_PATH_SUITES = [
    *("core/tests/test_app.py", "core/tests/test_engine.py", "core/tests/test_hot_finding.py"),
    *("core/tests/test_doctor.py", "core/tests/test_recording.py", "core/tests/test_hot.py"),
    *("core/tests/test_compiled_books.py", "core/tests/test_walk.py"),
    *(
        str(path.relative_to(ROOT))
        for name in ("checksum", "decoder", "faults", "feed", "messages", "record", "wire")
        for path in sorted(ROOT.glob(f"plugins/kraken/tests/test_{name}*.py"))
    ),
    *("plugins/kraken/tests/test_transport.py", "plugins/kraken/tests/test_buffer_reader.py"),
    "plugins/triangular/tests",
    *("tests/integration/test_detect.py", "tests/integration/test_detect_equals_oracle.py"),
    "tests/integration/test_recorded_data.py",
]
# Suites of core that spend their time in a real PostgreSQL.  They run once, with all others: what
# they find has nothing to do with which plugins are installed.
SERVER_SUITES = [
    *("test_database.py", "test_db_command.py", "test_embedded.py", "test_instance_lock.py"),
    *("test_schema_runner.py", "test_store_constraints.py", "test_store_outage.py"),
    *("test_store_reading.py", "test_store_retention.py", "test_store_schema.py"),
    *("test_store_writer.py", "test_report_command.py", "test_export_command.py"),
]
PYTHON_FILES = ["core", "plugins", "web", "tests", "tools", "noxfile.py"]


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, declared dependencies, hygiene, pins, changelog fragments."""
    run(session, "ruff", "check", *PYTHON_FILES)
    run(session, "ruff", "format", "--check", *PYTHON_FILES)
    deps(session)
    run(
        session,
        "pytest",
        "-q",
        "tests/architecture/test_hygiene.py",
        "tests/architecture/test_pins.py",
    )
    run(session, "python", "tools/refresh_pins.py", "--check")
    # A draft of the next release's changelog fails on a fragment with an unknown type or no text.
    run(session, "towncrier", "build", "--draft", "--version", "next", silent=True)


@nox.session
def deps(session: nox.Session) -> None:
    """Each distribution declares what it imports, and imports what it declares."""
    for member in MEMBERS:
        with session.chdir(member):
            run(session, "deptry", "src")


@nox.session
def types(session: nox.Session) -> None:
    """Strict types in everything that is shipped."""
    run(session, "mypy", *[str(member.relative_to(ROOT) / "src") for member in MEMBERS])


@nox.session
def imports(session: nox.Session) -> None:
    """Who may import whom; the contracts stand in pyproject.toml."""
    run(session, "lint-imports")


@nox.session
def tests(session: nox.Session) -> None:
    """Every suite, in one environment."""
    run(session, "pytest", *session.posargs)


@nox.session
def interpreted(session: nox.Session) -> None:
    """The suites that lean on the hot path, once more with the compiled one switched off."""
    # Not synchronised: a build that need not succeed is another one, and would be made anew.
    session.run(
        *(UV, "run", "--quiet", "--no-sync", "pytest", "-q"),
        *(session.posargs or HOT_PATH_SUITES),
        env={"ARBITRADE_INTERPRETED": "1", "ARBITRADE_REQUIRE_COMPILED": None},
        external=True,
    )


@nox.session
def fuzz(session: nox.Session) -> None:
    """Give the hot path what nobody would send, in builds that catch a read gone astray.

    `-- --seconds 600 --seed 7` takes longer and begins elsewhere.
    """
    if sys.platform != "linux":
        session.skip("the sanitizer's library is preloaded as Linux does it")
    work = Path(session.create_tmp()).resolve()
    stages = (
        UV,
        "run",
        "--quiet",
        "--no-sync",
        "--with",
        "cython>=3.3",
        "--with",
        "setuptools>=80",
    )
    stages += ("python", "tests/fuzz/stages.py")
    for kind in ("bounds", "address"):
        session.run(*stages, kind, str(work / kind), external=True)
        env = {"PYTHONPATH": str(work / kind), "ARBITRADE_REQUIRE_COMPILED": "1"}
        if kind == "address":
            library = session.run(*stages, "preload", external=True, silent=True)
            env |= {"LD_PRELOAD": str(library).strip(), "PYTHONMALLOC": "malloc"}
            # Python itself keeps things until it ends; libraries ask for memory there isn't.
            env["ASAN_OPTIONS"] = "detect_leaks=0:allocator_may_return_null=1"
        # Not by `uv run`: uv would be preloaded too.
        python = (sys.executable, "-X", "faulthandler")
        chosen = session.posargs or ("--seconds", "20")
        session.run(*python, "tests/fuzz/decode.py", *chosen, env=env, external=True)
        twins = [
            str(path.relative_to(ROOT)) for path in ROOT.glob("tests/integration/test_twin_*.py")
        ]
        session.run(
            *(*python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sorted(twins)),
            env=env,
            external=True,
        )


@nox.session
def plugins(session: nox.Session) -> None:
    """Each distribution's suite with nothing installed but core and that distribution.

    This finds undeclared dependencies, and plugins that lean on each other.  Core's suite runs with
    no plugin.  Wheels are tested, not the source tree, compiled where there is a compiler.
    """
    work = Path(session.create_tmp())
    wheels = work / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    session.run(
        UV, "build", "--all-packages", "--wheel", "-q", "--out-dir", str(wheels), external=True
    )
    chosen = [path for path in MEMBERS if not session.posargs or path.name in session.posargs]
    failed = [path.name for path in chosen if not passes_alone(session, path, wheels, work)]
    if failed:
        session.error(f"suites that fail beside core alone: {', '.join(failed)}")


@nox.session
def strangers(session: nox.Session) -> None:
    """Other people's Kraken clients against the simulator; needs a package index the first time."""
    session.run(
        *(UV, "run", "--quiet", "pytest", "-q", "tests/integration/test_strangers.py"),
        *session.posargs,
        env={"ARBITRADE_REQUIRE_STRANGERS": "1"},
        external=True,
    )


@nox.session
def docs(session: nox.Session) -> None:
    """What the documents say is true: the README runs, examples and links are right."""
    run(session, "pytest", "-q", "tests/architecture")


@nox.session
def bench(session: nox.Session) -> None:
    """Time the hot path on a small market and print the result; `-- --help` shows more."""
    small = ("--pairs", "200", "--frames", "20000", "--naive-frames", "500")
    run(session, "python", "tests/benchmarks/hot_path.py", *(session.posargs or small))


@nox.session
def guard(session: nox.Session) -> None:
    """The hot path is not slower than guard.toml allows; `-- --update` keeps new numbers."""
    run(session, "python", "tests/benchmarks/guard.py", *session.posargs)


@nox.session
def chaos(session: nox.Session) -> None:
    """Kill, freeze and halt bots for a long time, and soak: `-- --kills 50 --seed 3 --hours 2`.

    Prints what each kill hit, and how long the next start took until everything was in order.
    """
    parser = argparse.ArgumentParser(prog="nox -s chaos --")
    parser.add_argument("--kills", type=int, default=200, help="instants to be killed at")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other instants")
    parser.add_argument("--hours", type=int, default=24, help="of market in the soak")
    chosen, more = parser.parse_known_args(session.posargs)
    session.run(
        *(UV, "run", "--quiet", "pytest", "-q", "tests/chaos", *more),
        env={
            "ARBITRADE_CHAOS_LONG": "1",
            "ARBITRADE_KILLS": str(chosen.kills),
            "ARBITRADE_KILLS_SEED": str(chosen.seed),
        },
        external=True,
    )
    session.run(
        *(UV, "run", "--quiet", "pytest", "-q", "tests/integration/test_fast_soak.py"),
        env={"ARBITRADE_SOAK_HOURS": str(chosen.hours), "ARBITRADE_SOAK_SEEDS": "8"},
        external=True,
    )


@nox.session
def peers(session: nox.Session) -> None:
    """Time other people's order books on our frames; needs a package index, so it runs by hand.

    Writes its table into docs/performance.md; `-- --rounds 3` and the like only print.
    """
    environments = ("--environments", session.create_tmp())
    chosen = session.posargs or ("--write",)
    run(session, "python", "tests/benchmarks/peers/run.py", *environments, *chosen)


@nox.session
def pins(session: nox.Session) -> None:
    """Resolve the whole tree anew and pin it; `-- --keep` only adds and removes."""
    run(session, "python", "tools/refresh_pins.py", *session.posargs)


def run(session: nox.Session, *command: str, silent: bool = False) -> None:
    session.run(UV, "run", "--quiet", *command, external=True, silent=silent)


def passes_alone(session: nox.Session, member: Path, wheels: Path, work: Path) -> bool:
    """Run one distribution's tests beside core's wheel, its own wheel and nothing else of ours.

    What hands tests out to the processors is there as well; no suite may know of it.
    """
    environment = work / f"env-{member.name}"
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    session.run(UV, "venv", "-q", "--clear", str(environment), external=True)
    extras = "[testing,vault]" if member == CORE else "[testing]"
    ours = [f"{wheel_of(CORE, wheels)}{extras}"]
    if member != CORE:
        ours.append(str(wheel_of(member, wheels)))
    left_out = [f"--ignore={CORE / 'tests' / name}" for name in SERVER_SUITES]
    # uv takes the pinned versions of everything else from pyproject.toml.
    session.run(
        *(UV, "pip", "install", "-q", "--python", str(python), *ours, "pytest-xdist"), external=True
    )
    try:
        session.run(
            *(str(python), "-I", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT}", str(member / "tests")),
            *(left_out if member == CORE else ()),
            # Takes back what `uv run` set, so that nothing of the workspace is seen by accident.
            # Nor the session's own folder for temporary files: its path is too long for a socket.
            env={"VIRTUAL_ENV": None, "PYTHONPATH": None, "TMPDIR": None},
            external=True,
        )
    except CommandFailed:
        return False
    return True


def wheel_of(member: Path, wheels: Path) -> Path:
    """Return the wheel that was built of a distribution."""
    project = tomllib.loads((member / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wheel,) = wheels.glob(f"{project['name'].replace('-', '_')}-*.whl")
    return wheel.resolve()
