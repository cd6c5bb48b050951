"""The click group behind `arbitrade`: where commands come from, and how errors end."""

import difflib
import errno
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from arbitrade.cli.context import CommandLine
from arbitrade.errors import ArbitradeError, ConfigError, UsageError
from arbitrade.plugins import builtin

FAILED, WRONG_USAGE, INTERRUPTED, READER_GONE = 1, 2, 130, 141

_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)
"""What a write to standard output fails with when a disk behind it is full or gone."""

_SECTIONS = {
    "Trading": ("demo", "run"),
    "A running bot": ("status", "halt", "resume", "flatten", "limits"),
    "What it did": ("report", "export", "audit", "replay"),
    "Market": ("detect", "record"),
    "Settings": ("config", "secrets"),
    "Plugins": ("plugins",),
    "This installation": ("db", "journal", "doctor"),
}
_COMMANDS = f"{__name__}.commands"


class ArbitradeGroup(click.Group):
    """Finds commands through the plugins; ends with one message and the right exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of core's commands, then those of plugins."""
        return list(self._all_commands(ctx))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; core's without looking for plugins, so that they always work."""
        if cmd_name in builtin.COMMANDS:
            return builtin.command(cmd_name)
        return self._all_commands(ctx).get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], self._all_commands(ctx), n=1)
            if not close:
                raise
            message = f"{error.message} Did you mean {close[0]}?"
            raise click.UsageError(message, ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in sections; what no section names comes from plugins."""
        commands = self._all_commands(ctx)
        named = {name for names in _SECTIONS.values() for name in names}
        rest = tuple(name for name in commands if name not in named)
        limit = formatter.width - 6 - max(map(len, commands))  # as click's own
        for title, names in {**_SECTIONS, "From plugins": rest}.items():
            rows = [(n, commands[n].get_short_help_str(limit)) for n in names if n in commands]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.  Click would end every broken pipe with exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _ReaderGoneError from None

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and turn how it ended into a message and an exit code."""
        code = self._run(args, prog_name, complete_var, windows_expand_args, extra)
        if standalone_mode:
            sys.exit(code)
        return code

    def _run(
        self,
        args: Sequence[str] | None,
        prog_name: str | None,
        complete_var: str | None,
        windows_expand_args: bool,
        extra: dict[str, Any],
    ) -> int:
        try:
            result = super().main(
                args,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
            sys.stdout.flush()
        except (_ReaderGoneError, BrokenPipeError):
            _give_up_output()
            return READER_GONE
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except click.Abort as error:
            interrupted = isinstance(error.__cause__, KeyboardInterrupt)
            return INTERRUPTED if interrupted else FAILED
        except KeyboardInterrupt:
            return INTERRUPTED
        except OSError as error:
            if error.errno not in _NO_ROOM or error.filename is not None:
                raise
            _give_up_output()
            return _report([ArbitradeError(f"the output can't be written ({error.strerror})")])
        except ArbitradeError as error:
            return _report([error])
        except BaseExceptionGroup as group:
            ours, bugs = group.split(ArbitradeError)
            if ours is None or bugs is not None:
                raise
            return _report(list(_leaves(ours)))
        # A command may return its exit code; anything else it returns means it is done.
        return result if type(result) is int else 0

    def _all_commands(self, ctx: click.Context) -> dict[str, click.Command]:
        """Return every command; only core's when settings or plugins are broken."""
        known: dict[str, click.Command] | None = ctx.meta.get(_COMMANDS)
        if known is not None:
            return known
        if ctx.obj is None:  # click asks for commands before the group itself has run
            ctx.obj = CommandLine(ctx.params.get("folder"))
        line: CommandLine = ctx.obj
        try:
            found = line.registry.commands()
        except ArbitradeError as error:
            click.echo(f"Commands of plugins are not shown: {error}", err=True)
            found = tuple(builtin.command(name) for name in builtin.COMMANDS)
        commands = {command.name or "": command for command in found}
        ctx.meta[_COMMANDS] = commands
        return commands


class _ReaderGoneError(Exception):
    """Nobody reads our output any more; not an `OSError`, which click would handle its own way."""


def _leaves(group: BaseExceptionGroup[ArbitradeError]) -> Iterator[ArbitradeError]:
    """Yield the errors of tasks that failed together."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _report(errors: Sequence[ArbitradeError]) -> int:
    for message in dict.fromkeys(map(str, errors)):
        click.echo(f"Error: {message}", err=True)
    wrong_usage = all(isinstance(error, ConfigError | UsageError) for error in errors)
    return WRONG_USAGE if wrong_usage else FAILED


def _give_up_output() -> None:
    """Keep the interpreter from complaining when it flushes standard output on its way out."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # not a real file, as in tests
        return
