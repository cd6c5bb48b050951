"""An environment beside core, made by uv: from its cache, else from the package index."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import attrs

from arbitrade.testing.isolation import at_home
from arbitrade.testing.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]

type Done = "subprocess.CompletedProcess[str]"


@attrs.frozen
class Environment:
    """Wheels, installed into a fresh environment.

    Args:
        folder: Where all of it is.
    """

    folder: Path

    @property
    def _python(self) -> Path:
        scripts = self.folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        return scripts / "python"

    @classmethod
    def of(cls, folder: Path, projects: Sequence[Path], *more: str) -> "Environment":
        """Build these projects, and install their wheels and `more`."""
        made, wheels = cls(folder), folder / "wheels"
        with ThreadPoolExecutor(2) as pool:
            builds = [
                pool.submit(uv, "build", "--wheel", "--out-dir", wheels, project)
                for project in projects
            ]
            for build in builds:
                build.result()
        uv("venv", "--python", sys.executable, folder / "venv")
        uv("pip", "install", "--python", made._python, *sorted(wheels.glob("*.whl")), *more)
        return made

    def run(self, *arguments: object, cwd: Path, code: int = 0) -> Done:
        """Run a module of it, and see that it ends with `code`."""
        done = subprocess.run(
            [self._python, "-m", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=clean(),
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def run_until(
        self, holds: Callable[[], bool], *arguments: object, cwd: Path
    ) -> tuple[str, str]:
        """Run a module until something holds, then ask it to stop; return what it printed."""
        line = [self._python, "-m", *map(str, arguments)]
        with (cwd / "stdout").open("w") as out, (cwd / "stderr").open("w") as err:
            process = subprocess.Popen(line, stdout=out, stderr=err, cwd=cwd, env=clean())
            try:
                until_s = time.monotonic() + PATIENCE_S
                while process.poll() is None and not holds():
                    assert time.monotonic() < until_s, (cwd / "stderr").read_text()
                process.terminate()
                process.wait(PATIENCE_S)
            finally:
                process.kill()
                process.wait()
        return (cwd / "stdout").read_text(), (cwd / "stderr").read_text()


def uv(*arguments: object) -> Done:
    """Run uv, first without the network."""
    line = [*(uv_command() or ["uv"]), *map(str, arguments)]
    # Nothing compiled: what is tried here is the same without.
    environment = {**clean(), "ARBITRADE_PURE": "1"}
    offline = subprocess.run([*line, "--offline"], capture_output=True, text=True, env=environment)
    if offline.returncode == 0:
        return offline
    online = subprocess.run(line, capture_output=True, text=True, env=environment)
    assert online.returncode == 0, online.stdout + online.stderr
    return online


def uv_command() -> list[str] | None:
    """Return how uv is called here, None where it isn't installed."""
    named = os.environ.get("UV")  # `uv run` tells its children which uv it is
    if named:
        return [named]
    if find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    found = shutil.which("uv")
    return None if found is None else [found]


def clean() -> dict[str, str]:
    """Return the environment without what would change the environments made here."""
    ours = ("ARBITRADE_", "VIRTUAL_ENV", "PYTHON", "PYTEST_", "UV_PROJECT")
    return {name: value for name, value in at_home().items() if not name.startswith(ours)}
