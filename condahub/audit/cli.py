"""`condahub admin audit`: the audit trail on the terminal, and proof of the files that its beginning went into."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from condahub.audit import archive
from condahub.audit.models import AuditEvent
from condahub.cli import tables
from condahub.cli.exits import REFUSED
from condahub.cli.server import register

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@register
@click.group(invoke_without_command=True)
@click.option("--action", help="Of this kind only, for example channel.create.")
@click.option("--actor", help="By this account only.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@_JSON
@click.pass_context
def audit(context: click.Context, action: str | None, actor: str | None, limit: int, as_json: bool) -> None:
    """The newest events of the audit trail."""
    if context.invoked_subcommand is not None:
        return
    events = AuditEvent.objects.order_by("-id")
    if action:
        events = events.filter(action=action)
    if actor:
        events = events.filter(actor_label=actor)
    rows = [
        {
            "at": one.at.isoformat(),
            "actor": one.actor_label,
            "action": one.action,
            "target": one.target,
            "address": one.address,
            "details": one.details,
        }
        for one in events[:limit]
    ]
    tables.show(rows, [("AT", "at"), ("WHO", "actor"), ("ACTION", "action"), ("TARGET", "target"), ("FROM", "address")], as_json=as_json)


@audit.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_JSON
def verify(files: tuple[Path, ...], as_json: bool) -> None:
    """Prove files of released events: each by itself, one after the other, and against this hub. Ends with 1 when one is not right."""
    rows = [
        {
            "file": str(one.path),
            "first": one.first,
            "last": one.last,
            "events": one.count,
            "known": one.known,
            "ok": not one.problem,
            "found": one.problem or ("all right" if one.known else "right in itself; this hub's audit does not name it"),
        }
        for one in archive.prove(files)
    ]
    tables.show(rows, [("FILE", "file"), ("FIRST", "first"), ("LAST", "last"), ("FOUND", "found")], as_json=as_json)
    if not all(row["ok"] for row in rows):
        sys.exit(REFUSED)
