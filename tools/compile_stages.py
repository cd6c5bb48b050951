"""Compiles a distribution's stages of the hot path while it is built or installed.

This is the build hook of every distribution that has such stages; its `hatch_build.py` finds it
here, or beside itself in an unpacked sdist.  The stages stand in the distribution's pyproject.toml:

    [tool.hatch.build.hooks.custom]
    stages = ["src/arbitrade_kraken/_hot.py"]

Where compiling fails, for want of a compiler or for any other reason, the build goes on without
and says so in one line; everything works, interpreted.  A record beside the compiled module, or in
its place, says which source was compiled, or why none was: `arbitrade doctor` shows it, and a
compiled module whose source was edited since is not used.

Environment: `ARBITRADE_REQUIRE_COMPILED=1` makes the failure the build's own, `ARBITRADE_PURE=1`
compiles nothing.  `CC` and `CFLAGS` are the compiler's, as everywhere.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

REQUIRED, PURE = "ARBITRADE_REQUIRE_COMPILED", "ARBITRADE_PURE"
RECORD = ".build.json"
"""What the name of a stage's record ends in."""

_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
_ERROR = re.compile(r"\berror: |\.(?:py|pxd):\d+:\d+: ")
"""In a line of a C compiler, and of Cython."""
_FLAGS = {"msvc": ["/O2"], "unix": ["-O3", "-g0"]}


class StagesFailedError(Exception):
    """The stages could not be compiled.

    Args:
        reason: One line.
        output: All that the compilers said.
    """

    def __init__(self, reason: str, output: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.output = output


def make_hook() -> type:
    """Return the build hook; hatchling is there only while something is built."""
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class CompileStages(BuildHookInterface[Any]):
        """Adds compiled stages and their records to a wheel.

        So it is with an editable one: what was compiled lies among the installed packages, where it
        belongs to one environment and its Python, and the source tree stays clean.
        `arbitrade.hot.finding` looks there.
        """

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            if self.target_name == "sdist":
                build_data["force_include"][__file__] = Path(__file__).name
                return
            self._work = Path(tempfile.mkdtemp(prefix="arbitrade-build-"))
            root = Path(self.root)
            # Before they are compiled: an edit meanwhile has to show.
            digests = {stage: digest(root / stage) for stage in self.config["stages"]}
            reason = self._compile(root)
            kind = "force_include_editable" if version == "editable" else "force_include"
            for stage, source in digests.items():
                folder = Path(stage).relative_to("src").parent
                for built in _outcome(Path(stage), self._work, source, reason):
                    build_data[kind][str(built)] = (folder / built.name).as_posix()
            if reason is not None:
                return
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            # Hatchling would tag an editable wheel for every Python, and uv give it to another one
            # from its cache.
            builder = self.build_config.builder
            builder.get_default_tag = builder.get_best_matching_tag

        def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
            if self.target_name != "sdist":
                shutil.rmtree(self._work, ignore_errors=True)

        def _compile(self, root: Path) -> str | None:
            """Compile all stages; return None, or why there is none."""
            name = self.metadata.name
            required = os.environ.get(REQUIRED) == "1"
            if os.environ.get(PURE) == "1":
                if required:
                    self.app.abort(f"{name}: {PURE}=1 and {REQUIRED}=1 contradict; unset one")
                return f"it was built with {PURE}=1"
            try:
                compile_in_child(root, self._work, self.config["stages"])
            except StagesFailedError as failure:
                if required:
                    self.app.abort(
                        f"{failure.output}\n{name}: {REQUIRED}=1, but the hot path can't be "
                        f"compiled: {failure.reason}; it takes a C compiler and Python's headers"
                    )
                self.app.display_warning(
                    f"{name}: built without the compiled hot path, the interpreted one will run: "
                    f"{failure.reason}"
                )
                return failure.reason
            return None

    return CompileStages


def compile_in_child(root: Path, target: Path, stages: list[str]) -> None:
    """Compile stages into `target`, in a process whose output can be kept.

    Raises:
        StagesFailedError: Whatever went wrong.
    """
    command = [sys.executable, "-P", __file__, str(target), *stages]
    done = subprocess.run(
        command,
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise StagesFailedError(_reason(done.stdout), done.stdout)
    missing = [stage for stage in stages if not _extension(root / stage, target).is_file()]
    if missing:
        raise StagesFailedError(f"the compiler left nothing for {', '.join(missing)}", done.stdout)


def compile_stages(target: Path, stages: list[str]) -> None:
    """Compile stages, named relative to the current folder, into `target`."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    class Build(build_ext):
        def build_extensions(self) -> None:
            for extension in self.extensions:
                extension.extra_compile_args = _FLAGS.get(self.compiler.compiler_type, [])
            super().build_extensions()

    extensions = cythonize(
        [Extension(_module(stage), [stage]) for stage in stages],
        build_dir=str(target / "c"),
        language_level=3,
        force=True,
        quiet=True,
    )
    build = Build(Distribution({"name": "stages", "ext_modules": extensions}))
    build.build_lib, build.build_temp = str(target / "lib"), str(target / "o")
    build.ensure_finalized()
    build.run()
    for stage in stages:
        built = Path(build.get_ext_fullpath(_module(stage)))
        shutil.copy(built, _extension(Path(stage), target))


def digest(stage: Path) -> str:
    """Return what tells one version of a stage from another: of its source and declarations.

    `arbitrade.hot.finding` computes the same.
    """
    parts = [part for part in (stage, stage.with_suffix(".pxd")) if part.is_file()]
    texts = [part.read_bytes().replace(b"\r\n", b"\n") for part in parts]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def _module(stage: str) -> str:
    return ".".join(Path(stage).relative_to("src").with_suffix("").parts)


def _extension(stage: Path, folder: Path) -> Path:
    return folder / f"{stage.stem}{_SUFFIX}"


def _outcome(stage: Path, work: Path, source: str, reason: str | None) -> list[Path]:
    """Write a stage's record; return it, after the compiled module if there is one."""
    record = work / f"{stage.stem}{RECORD}"
    record.write_text(json.dumps({"source": source, "failure": reason}, indent=1) + "\n")
    return [record] if reason is not None else [_extension(stage, work), record]


def _reason(output: str) -> str:
    """Return the line of what a child said that tells what is wrong: the first error, or its last.

    A compiler's own words come first; see `_said_by`.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.search(line)]
    return (errors or lines[-1:] or ["no reason was given"])[0]


def _said_by(error: BaseException) -> str:
    """Return one line; what happened to the compiler hides behind errors that come of it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, subprocess.CalledProcessError):
            return f"{cause.cmd[0]} ended with exit code {cause.returncode}"
        if isinstance(cause, FileNotFoundError):
            return f"no C compiler: {cause.filename} was not found"
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _main() -> None:
    try:
        compile_stages(Path(sys.argv[1]), sys.argv[2:])
    except Exception as error:  # whatever it is, the build can go on without
        sys.stdout.flush()
        sys.exit(_said_by(error))


if __name__ == "__main__":
    _main()
