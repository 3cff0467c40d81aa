"""`condahub admin audit`: the audit trail on the terminal."""

from __future__ import annotations

import click

from condahub.audit.models import AuditEvent
from condahub.cli import tables
from condahub.cli.server import register

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@register
@click.command()
@click.option("--action", help="Of this kind only, for example channel.create.")
@click.option("--actor", help="By this account only.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@_JSON
def audit(action: str | None, actor: str | None, limit: int, as_json: bool) -> None:
    """The newest events of the audit trail."""
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
