"""What holds for every suite: apart from who runs it, and on as many processors as serve.

`uv run pytest` hands files out to workers, each with a PostgreSQL of its own; a few files, `--pdb`,
`-n 0` and `-p no:xdist` run in one process.
"""

import os

import pytest

pytest_plugins = ["arbitrade.testing.isolation"]

# Beyond that the longest file decides.
_MOST_WORKERS = 4
# Workers take two seconds to start, which a few files are through in.
_FEW_FILES = 3


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Choose a number of workers where pytest-xdist is there and nobody else has chosen."""
    option = config.option
    if not hasattr(option, "numprocesses") or hasattr(config, "workerinput"):
        return
    if option.numprocesses is None and not (option.tx or option.usepdb or option.collectonly):
        option.numprocesses = _workers(config)
    if option.numprocesses and option.dist == "no":
        # Files stay whole: their fixtures are made once.  In the order of the test paths, because
        # long files have few tests, and would come last by number.
        option.dist = "loadfile"
        option.loadscopereorder = False


def _workers(config: pytest.Config) -> int:
    files = [name for name in config.args if name.partition("::")[0].endswith(".py")]
    if len(files) == len(config.args) <= _FEW_FILES:
        return 0
    count = _processors()
    return min(count, _MOST_WORKERS) if count > 1 else 0


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
