import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from arbitrade import hookimpl
from arbitrade.cli import CommandLine, arbitrade
from arbitrade.errors import ArbitradeError, ConfigError, UsageError
from arbitrade.plugins import PluginRegistry
from arbitrade.testing.patience import PATIENCE_S


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs `arbitrade` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARBITRADE_CONFIG", raising=False)
    return lambda *args, **extra: CliRunner().invoke(arbitrade, args, **extra)


class HandmadeLine(CommandLine):
    """A command line whose plugins were not found but given."""

    def __init__(self, plugin):
        super().__init__()
        self.registry = PluginRegistry.of({"handmade": plugin})


def line_with(action) -> CommandLine:
    """Return a command line with a plugin's command `act` that does `action`."""

    class Acting:
        @hookimpl
        def arbitrade_register_commands(self):
            return [click.Command("act", callback=action, help="Act.")]

    return HandmadeLine(Acting())


def all_commands(group: click.Group, *words: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command, those of groups included."""
    with click.Context(group) as context:
        for name in group.list_commands(context):
            yield (*words, name)
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                yield from all_commands(command, *words, name)


def test_help_groups_commands_and_shows_examples(run):
    result = run("--help")
    assert result.exit_code == 0
    text = result.stdout
    assert text.index("Market:") < text.index("detect") < text.index("Settings:")
    assert text.index("Plugins:") < text.index("Examples:")
    assert "arbitrade detect recording.jsonl" in text


def test_help_of_every_command_of_core_has_an_example(run):
    for words in all_commands(arbitrade):
        result = run(*words, "--help")
        assert result.exit_code == 0, words
        assert "Example" in result.stdout, words


def test_every_command_of_core_stands_in_a_section_of_the_help(run):
    shown = run("--help", obj=line_with(lambda: None)).stdout
    _, _, rest = shown.partition("From plugins:")
    of_plugins = re.findall(r"^  (\w+) ", rest.partition("Examples:")[0], re.M)
    assert of_plugins == ["act"]


def test_commands_of_plugins_are_listed_and_run(run):
    line = line_with(lambda: click.echo("acted"))
    assert "From plugins:\n  act " in run("--help", obj=line).stdout
    assert run("act", obj=line).stdout == "acted\n"


def test_version_is_that_of_core(run):
    assert run("--version").stdout.startswith("arbitrade, version ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ArbitradeError("it broke"), 1),
        (UsageError("it broke"), 2),
        (ConfigError(["it broke", "twice"]), 2),
        (click.UsageError("it broke"), 2),
        (click.ClickException("it broke"), 1),
        (ExceptionGroup("tasks", [ArbitradeError("it broke"), ArbitradeError("it broke")]), 1),
        (ExceptionGroup("tasks", [ExceptionGroup("", [UsageError("it broke")])]), 2),
    ],
)
def test_error_is_one_message_on_stderr_with_the_right_exit_code(run, error, code):
    def fail():
        raise error

    result = run("act", obj=line_with(fail))
    assert result.exit_code == code
    assert result.stdout == ""
    assert "Error: it broke" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (BrokenPipeError, 141)])
def test_interruption_and_broken_pipe_end_quietly(run, error, code):
    def end():
        raise error

    result = run("act", obj=line_with(end))
    assert result.exit_code == code
    assert result.output.strip() == ""


def test_command_may_choose_its_exit_code(run):
    def leave():
        raise click.exceptions.Exit(7)

    assert run("act", obj=line_with(leave)).exit_code == 7


def test_bug_beside_an_error_is_not_hidden(run):
    def fail():
        raise ExceptionGroup("tasks", [ArbitradeError("it broke"), ZeroDivisionError()])

    assert isinstance(run("act", obj=line_with(fail)).exception, ExceptionGroup)


def test_bug_is_not_hidden(run):
    def bug():
        raise ZeroDivisionError

    assert isinstance(run("act", obj=line_with(bug)).exception, ZeroDivisionError)


def test_unknown_command_and_option_are_wrong_usage(run):
    for args in (("nonsense",), ("--nonsense",), ("plugins", "list", "--nonsense")):
        result = run(*args)
        assert result.exit_code == 2
        assert "nonsense" in result.stderr


def test_misspelled_command_suggests_the_right_one(run):
    assert "No such command 'detec'. Did you mean detect?" in run("detec").stderr


def test_missing_settings_folder_is_wrong_usage(run, tmp_path):
    result = run("--config", str(tmp_path / "missing"), "plugins", "list")
    assert result.exit_code == 2
    assert "no such folder" in result.stderr


def test_broken_settings_are_reported_with_their_place_and_help_still_works(run, tmp_path):
    (tmp_path / "settings.toml").write_text("[plugins\n")
    result = run("plugins", "list")
    assert result.exit_code == 2
    assert "settings.toml, line 1" in result.stderr
    helped = run("--help")
    assert helped.exit_code == 0
    assert "detect" in helped.stdout
    assert "settings.toml, line 1" in helped.stderr


def test_wrong_settings_of_core_and_of_the_choice_are_reported_together(run, tmp_path):
    (tmp_path / "settings.toml").write_text("[plugins]\nenable = []\n[fees]\ntaker = 'much'\n")
    result = run("plugins", "list")
    assert result.exit_code == 2
    assert "plugins.enable: unknown setting" in result.stderr
    assert "fees.taker" in result.stderr


def test_broken_plugin_does_not_take_core_commands_away(run, install):
    install("bell", "raise RuntimeError('out of luck')")
    result = run("plugins", "list")
    assert result.exit_code == 0
    assert "out of luck" in result.stdout
    assert run("--help").exit_code == 0


def test_load_gives_settings_and_plugins_or_says_which_plugin_is_broken(
    tmp_path, monkeypatch, install
):
    monkeypatch.chdir(tmp_path)
    install("bell", "raise RuntimeError('out of luck')")
    (tmp_path / "settings.toml").write_text("[plugins]\nenabled = ['bell']\n[bell]\nloud = true\n")
    line = CommandLine()
    with pytest.raises(ArbitradeError, match=r"bell .* out of luck"):
        line.load()
    (tmp_path / "settings.toml").write_text("[plugins]\nenabled = ['none']\n")
    line.forget()
    with pytest.raises(ArbitradeError, match=r"plugins\.enabled: no plugin 'none' is installed"):
        line.load()


def test_overrides_of_the_command_line_beat_the_file(tmp_path, monkeypatch):
    (tmp_path / "settings.toml").write_text("venue = 'filed'\n")
    line = CommandLine(tmp_path)
    monkeypatch.setenv("ARBITRADE_PLUGINS__ENABLED", "core")
    assert line.load().venue == "filed"
    assert line.load({"venue": "given"}).venue == "given"


def test_module_runs_like_the_command():
    result = subprocess.run(
        [sys.executable, "-m", "arbitrade", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert result.stdout.startswith("arbitrade, version ")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently on Windows")
def test_reader_that_goes_away_leaves_no_traceback():
    code = (
        "import sys\n"
        "from arbitrade.cli import arbitrade\n"
        "import click\n"
        "@arbitrade.command()\n"
        "def flood():\n"
        "    for _ in range(100_000):\n"
        "        click.echo('x' * 100)\n"
        "arbitrade.get_command = lambda context, name: flood\n"
        "arbitrade.main(['flood'])\n"
    )
    flooding = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert flooding.stdout is not None
    flooding.stdout.readline()
    flooding.stdout.close()
    assert flooding.stderr is not None
    with flooding.stderr:
        complaint = flooding.stderr.read()
    assert flooding.wait(timeout=PATIENCE_S) == 141
    assert complaint == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full to write to")
@pytest.mark.parametrize("arguments", [["--help"], ["config", "show"], ["plugins", "list"]])
def test_output_to_a_full_disk_is_one_clear_line(tmp_path, arguments):
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "arbitrade", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=PATIENCE_S,
            env={**os.environ, "ARBITRADE_CONFIG": str(tmp_path)},
        )
    assert result.returncode == 1
    assert result.stderr == "Error: the output can't be written (No space left on device)\n"


def test_an_error_of_a_file_nobody_expected_is_not_taken_for_the_output(run):
    def bug():
        raise OSError(28, "No space left on device", "some/file")

    assert isinstance(run("act", obj=line_with(bug)).exception, OSError)
