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
_FEW_FILES = 4


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
    count = min(_processors(), _MOST_WORKERS)
    return count if count > 1 and _files(config) > _FEW_FILES else 0


def _files(config: pytest.Config) -> int:
    """Return how many files are asked for, whatever is chosen within them."""
    count = 0
    for name in config.args:
        path = config.invocation_params.dir / name.partition("::")[0]
        count += sum(1 for _ in path.rglob("test_*.py")) if path.is_dir() else 1
    return count


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
