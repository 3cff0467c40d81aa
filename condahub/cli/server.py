"""The server half: runs the hub's processes, and looks after the hub of this machine; Django is set up when a command is asked for.

An app offers commands in its `cli` module, by `register(command)`; they appear below `condahub admin`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from condahub.cli.exits import Failure, Usage

if TYPE_CHECKING:
    from condahub.accounts.policy import Actor

C = TypeVar("C", bound=click.Command)

_commands: dict[str, click.Command] = {}
# Commands of the hub as a whole, beside those of its apps.
_OWN = ("condahub.cli.upkeep",)
_PROCESSES = {
    "web": "The web process: API, pages, uploads.",
    "data": "The byte-serving process.",
    "quick": "A worker of the quick lane.",
    "heavy": "A worker of the heavy lane.",
    "beat": "The clock; one in the whole installation.",
    "migrate": "Prepare the database and the store, then end.",
}


def register(command: C) -> C:
    """Offer `command` as `condahub admin <its name>`; to be called, or used as a decorator, in an app's `cli` module."""
    assert command.name
    _commands[command.name] = command
    return command


def _require_server() -> None:
    missing = [name for name in ("django", "celery", "environ") if importlib.util.find_spec(name) is None]
    if missing:
        raise Usage(
            "The server's part of condahub is not installed here.",
            hint="Run it in the hub's checkout (.venv/bin/condahub) or in its image.",
        )


@functools.cache
def _discovered() -> dict[str, click.Command]:
    _require_server()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "condahub.settings")
    # What the person at the shell asked for is printed; the log is for what goes wrong.
    os.environ.setdefault("CONDAHUB_LOG_LEVEL", "WARNING")
    import django
    from django.apps import apps

    django.setup()
    for config in apps.get_app_configs():
        if importlib.util.find_spec(f"{config.name}.cli") is not None:
            importlib.import_module(f"{config.name}.cli")
    for module in _OWN:
        importlib.import_module(module)
    return _commands


class AdminGroup(click.Group):
    """Lists what the apps offer, and turns the hub's own refusals into sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_discovered())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _discovered().get(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        _discovered()
        from django.db import DatabaseError

        from condahub.errors import HubError

        try:
            return super().invoke(ctx)
        except HubError as refusal:
            raise Failure(refusal.detail, hint=refusal.hint, code=refusal.code) from refusal
        except DatabaseError as error:
            # Its own words may hold values of rows.
            raise Failure(
                f"The hub's database does not answer as it should ({type(error).__name__}).",
                hint="Is it up, and migrated? See: condahub admin doctor",
                code="database_unavailable",
            ) from error


@click.group(cls=AdminGroup)
def admin() -> None:
    """Look after the hub of this machine, as its operator: with its settings and database, past all sign-in."""


@click.group()
def server() -> None:
    """Run a hub, or one of its processes."""


def _become(arguments: list[str]) -> None:
    from condahub.ops.roles import HOME

    os.chdir(HOME)
    sys.stdout.flush()
    os.execv(arguments[0], arguments)


@server.command()
def run() -> None:
    """The whole hub under one supervisor, as `make run` does it; Ctrl-C ends it."""
    _require_server()
    _become([sys.executable, "-m", "condahub.ops.supervise"])


def _process(role: str, summary: str) -> click.Command:
    @click.command(role, help=summary)
    def command() -> None:
        _require_server()
        from condahub.ops.roles import command as command_of

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "condahub.settings")
        _become(command_of(role))

    return command


for _role, _summary in _PROCESSES.items():
    server.add_command(_process(_role, _summary))


@functools.cache
def operator() -> Actor:
    """The person at the shell: may do everything, and is named in the audit trail as far as this machine knows him."""
    import getpass
    import socket

    from condahub.accounts.policy import Actor

    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        # A container's user id need not have a name.
        name = str(os.getuid())

    class Operator(Actor):
        @property
        def label(self) -> str:
            return f"shell:{name}@{socket.gethostname()}"

    return Operator(system=True, via="shell")
