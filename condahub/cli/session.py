"""What every remote command starts from: the hub it speaks to, and whether its answer is for people or machines."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from condahub.cli import configuration
from condahub.cli.client import Hub

P = ParamSpec("P")
R = TypeVar("R")
PIPE_COLUMNS = 10_000
_UNITS = ("B", "KB", "MB", "GB", "TB")


class Session:
    """One invocation. Results go to standard output, all else to standard error."""

    def __init__(self, *, hub: str | None, token: str | None, as_json: bool) -> None:
        self._hub_option, self._token_option, self.as_json = hub, token, as_json
        terminal = Console().is_terminal
        # A program that reads a list wants a line an item, however long.
        self.out = Console(highlight=False, width=None if terminal else PIPE_COLUMNS)
        self.err = Console(stderr=True, highlight=False)

    def connect(self) -> Hub:
        """The hub that is meant, with the person's token. Raises Usage when no hub is known."""
        known = configuration.load()
        url = configuration.hub_url(self._hub_option, known)
        return Hub(url, configuration.token_for(url, self._token_option, known))

    def show(self, value: Any, text: str) -> None:
        """Print the value for machines, or the text for people."""
        if self.as_json:
            self.print_json(value)
        else:
            click.echo(text)

    def print_json(self, value: Any) -> None:
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))

    def note(self, text: str) -> None:
        """A word beside the result, for people only."""
        if not self.as_json:
            click.echo(text, err=True)

    def table(self, rows: Iterable[Mapping[str, Any]], columns: Sequence[tuple[str, str]], *, empty: str) -> None:
        """Print a list. columns: (heading, key); a key's value may be of any JSON type."""
        found = list(rows)
        if self.as_json:
            self.print_json(found)
            return
        if not found:
            self.note(empty)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading, _ in columns:
            table.add_column(heading, overflow="fold")
        for row in found:
            table.add_row(*(Text(cell(row.get(key))) for _, key in columns))
        with self.out.capture() as captured:
            self.out.print(table)
        click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))

    def fields(self, value: Mapping[str, Any], names: Sequence[tuple[str, str]]) -> None:
        """Print one thing, a line a field; empty ones are left out."""
        if self.as_json:
            self.print_json(value)
            return
        width = max(len(label) for label, _ in names)
        for label, key in names:
            text = cell(value.get(key))
            if text:
                click.echo(f"{label:<{width}}  {text}")


def cell(value: Any) -> str:
    """A JSON value as a person reads it in a list."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return str(value.get("name") or value.get("username") or json.dumps(value))
    if isinstance(value, list):
        return ", ".join(cell(one) for one in value)
    text = "".join(char if char.isprintable() else " " for char in str(value))
    # A moment to the second is enough for a list.
    return text[:19].replace("T", " ") if len(text) > 19 and text[4:5] == "-" and text[10:11] == "T" and text[13:14] == ":" else text


def size_text(size: float) -> str:
    """1234567 -> '1.2 MB'."""
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} B" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def remote(command: Callable[Concatenate[Session, P], R]) -> Callable[P, R]:
    """Make a function that takes a Session first into one for click, with `--hub`, `--token` and `--json`."""

    @click.option("--hub", "hub", metavar="URL", help="The hub's address (else CONDAHUB_URL, else that of the last login).")
    @click.option("--token", "token", metavar="TOKEN", help="Better in CONDAHUB_TOKEN or a file: others on this machine see command lines.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        options: dict[str, Any] = kwargs
        hub, token, as_json = options.pop("hub"), options.pop("token"), options.pop("as_json")
        click.get_current_context().find_root().meta["condahub.json"] = as_json
        return command(Session(hub=hub, token=token, as_json=as_json), *args, **kwargs)

    return run
