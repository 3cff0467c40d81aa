"""A group of commands whose modules are imported when they are asked for, and not before."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """places: command name -> "module:attribute"; summaries: what the group's help says of each, so that help imports nothing."""

    def __init__(self, *args: Any, places: Mapping[str, str], summaries: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places, self._summaries = places, summaries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self._places.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not self._places:
            return
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summaries.get(name, "")) for name in self._places])
