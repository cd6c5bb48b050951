"""`arbitrade secrets`: keep keys and passwords in the keyring or the vault."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arbitrade.cli.context import CommandLine
from arbitrade.errors import SecretError, UsageError

if TYPE_CHECKING:
    from arbitrade.config.stores import SecretStore
    from arbitrade.secrets import Secret

_store_option = click.option(
    "--store",
    type=click.Choice(["keyring", "vault"]),
    help="Where to keep it.  [default: the keyring if there is one, else the vault]",
)


@click.group(
    epilog="""\b
Examples:
  arbitrade secrets set alerts.urls
  arbitrade secrets set alerts.urls --store vault < urls.txt
  arbitrade secrets list"""
)
def secrets() -> None:
    """Keep secrets out of files and environment.

    The keyring is the operating system's.  The vault is a file encrypted with a passphrase, which
    is asked for, or comes from ARBITRADE_VAULT_PASSPHRASE or the file that
    ARBITRADE_VAULT_PASSPHRASE_FILE names.
    """


@secrets.command(
    "set",
    epilog="""\b
Examples:
  arbitrade secrets set alerts.urls
  pass show alerts | arbitrade secrets set alerts.urls --store keyring""",
)
@click.argument("name")
@_store_option
@click.pass_obj
def set_(line: CommandLine, name: str, store: str | None) -> None:
    """Keep the secret NAME, such as alerts.urls; see arbitrade secrets list.

    It is asked for without showing it, or read from standard input; never given as an argument,
    which other users could see.
    """
    _check_name(line, name)
    chosen = _store(line, store)
    chosen.put(name, _read_secret(name))
    click.echo(f"{name} is in the {chosen.name}.")
    stronger = _written_origin(line, name)
    if stronger is not None:
        click.echo(f"Not used yet: {stronger} has {name} too, and wins.", err=True)


@secrets.command(
    "list",
    epilog="""\b
Examples:
  arbitrade secrets list
  arbitrade secrets list --json""",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@click.pass_obj
def list_(line: CommandLine, as_json: bool) -> None:
    """List the secrets that can be set, and where each one is; never a value."""
    from arbitrade.config.converter import converter

    places = _places(line)
    if as_json:
        click.echo(converter.dumps(places))
        return
    for name, place in places.items():
        click.echo(f"{name:<32}  {place or 'not set'}")


@secrets.command(
    epilog="""\b
Examples:
  arbitrade secrets remove alerts.urls
  arbitrade secrets remove alerts.urls --store vault"""
)
@click.argument("name")
@_store_option
@click.pass_obj
def remove(line: CommandLine, name: str, store: str | None) -> None:
    """Forget the secret NAME, in one store or in all."""
    stores = _stores(line) if store is None else [_store(line, store)]
    removed = [kept.name for kept in stores if kept.remove(name)]
    if not removed:
        looked = " nor ".join(kept.name for kept in stores)
        raise SecretError(f"{name}: is not in the {looked}; see: arbitrade secrets list")
    click.echo(f"{name} is gone from the {' and the '.join(removed)}.")


def _check_name(line: CommandLine, name: str) -> None:
    from arbitrade.config import CORE_SECTIONS
    from arbitrade.config.secrets import secret_names
    from arbitrade.config.structure import suggest

    sections = [*CORE_SECTIONS, *line.registry.settings_sections()]
    known = [secret for section in sections for secret in secret_names(section.name, section.cls)]
    owners = {plugin.name for plugin in line.registry} - {section.name for section in sections}
    # A plugin that registers no section may have any; nobody else can say.
    if name not in known and name.partition(".")[0] not in owners:
        raise UsageError(f"{name}: nobody asks for a secret of this name; {suggest(name, known)}")


def _read_secret(name: str) -> "Secret":
    from arbitrade.secrets import Secret

    if sys.stdin.isatty():
        value: str = click.prompt(f"Value of {name}", hide_input=True, err=True)
    else:
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not value:
        raise UsageError(f"{name}: nothing came on standard input; nothing was changed")
    return Secret(value)


def _store(line: CommandLine, name: str | None) -> "SecretStore":
    stores = {
        "vault" if store.name.startswith("vault") else "keyring": store for store in _stores(line)
    }
    if name is not None:
        if name not in stores:
            raise UsageError(
                "--store keyring: is turned off; set secrets.keyring = true, or use vault"
            )
        return stores[name]
    return next(iter(stores.values()))


def _stores(line: CommandLine) -> "list[SecretStore]":
    """Return the stores that work here, the one to prefer first."""
    from arbitrade.config.load import read_secret_settings
    from arbitrade.config.stores import KeyringStore, VaultStore

    folder = _folder(line)
    settings = read_secret_settings(folder, os.environ)
    keyring = KeyringStore()
    stores: list[SecretStore] = [keyring] if settings.keyring and keyring.is_available() else []
    return [*stores, VaultStore(folder / settings.vault, os.environ)]


def _places(line: CommandLine) -> dict[str, str | None]:
    """Return where each secret is, by name; None for those that are nowhere."""
    from arbitrade.cli.config import read_settings
    from arbitrade.config import CORE_SECTIONS
    from arbitrade.config.secrets import secret_names
    from arbitrade.config.show import origin_in, section_of
    from arbitrade.config.stores import VaultStore

    settings = read_settings(line)
    names = [
        name
        for section in [*(one.name for one in CORE_SECTIONS), *settings.structured]
        for name in secret_names(section, type(section_of(settings, section)))
    ]
    places: dict[str, str | None] = {name: origin_in(settings, name) for name in names}
    for store in _stores(line):
        if isinstance(store, VaultStore):
            strangers = [name for name in store.names() if name not in places]
            places |= dict.fromkeys(strangers, f"{store.name} (no plugin here asks for it)")
    return places


def _written_origin(line: CommandLine, name: str) -> str | None:
    """Return the layer that has a secret, if that beats the stores."""
    origin = _places(line).get(name)
    is_stored = origin is None or origin == "keyring" or origin.startswith("vault ")
    return None if is_stored else origin


def _folder(line: CommandLine) -> Path:
    from arbitrade.config.layers import config_folder

    return config_folder(line.folder, os.environ)
