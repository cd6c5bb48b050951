"""`arbitrade doctor`: whether this installation is sound, and what it runs on."""

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from arbitrade.cli.context import CommandLine


@click.command(
    epilog="""\b
Examples:
  arbitrade doctor
  arbitrade --config /etc/arbitrade doctor --json
  ARBITRADE_REQUIRE_COMPILED=1 arbitrade doctor"""
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@click.pass_obj
def doctor(line: "CommandLine", as_json: bool) -> None:
    """Check Python, clock, settings, plugins, disk, the database and the hot path.

    Made-up frames go through the compiled and the interpreted hot path, which have to agree.
    Nothing is written or started, and nothing connected to but a database that runs.

    ✓ is well, – works but could be better, ✗ is broken.  Exit code 1 if anything is broken; an
    interpreted hot path is only when ARBITRADE_REQUIRE_COMPILED=1.
    """
    from arbitrade.config.converter import converter
    from arbitrade.doctor.checks import examine
    from arbitrade.doctor.finding import Finding, Health

    marks = dict(zip(Health, _marks(), strict=True))
    findings: list[Finding] = []
    for finding in examine(line.load, lambda: line.registry, line.settings_file.parent):
        findings.append(finding)
        if not as_json:
            click.echo(f"{marks[finding.health]} {finding.check:<20}  {finding.text}")
    broken = [finding for finding in findings if finding.health is Health.BROKEN]
    if as_json:
        click.echo(converter.dumps({"ok": not broken, "checks": findings}))
    if broken:
        sys.exit(1)


def _marks() -> str:
    """Return marks for good, note and broken that standard output can carry."""
    try:
        "✓–✗".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "+-x"
    return "✓–✗"
