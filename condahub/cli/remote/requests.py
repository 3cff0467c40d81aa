"""Asking for packages that a channel does not show, and answering those who ask."""

from __future__ import annotations

import click

from condahub.cli.session import Session, remote
from condahub.cli.wording import expiry, segment


@click.group()
def request() -> None:
    """Ask for packages that are not shown; approve or refuse."""


@request.command()
@click.argument("channel")
@click.argument("spec")
@click.option("--reason", required=True, help="Why you need it; who answers reads it.")
@click.option("--build", metavar="ORG/ENV@NUMBER", help="A build that failed for it: it is built again once the package is there.")
@remote
def ask(session: Session, channel: str, spec: str, reason: str, build: str | None) -> None:
    """Ask for SPEC (such as 'numpy >=2') in CHANNEL."""
    body = {"spec": spec, "reason": reason, **({"resume": f"build:{build}"} if build else {})}
    with session.connect() as hub:
        made = hub.post(f"channels/{segment(channel)}/requests", body)
    session.show(made, f"Request {made['id']}: {spec} in {channel} ({made['missing'].replace('_', ' ')}). You are told of the answer.")


@request.command("list")
@click.option("--state", type=click.Choice(["asked", "approved", "refused"]))
@click.option("--channel", help="For this channel only.")
@remote
def list_requests(session: Session, state: str | None, channel: str | None) -> None:
    """What you asked for, and what waits for your answer."""
    with session.connect() as hub:
        rows = list(hub.pages("requests", state=state, channel=channel))
    columns = [("ID", "id"), ("CHANNEL", "channel"), ("SPEC", "spec"), ("MISSING", "missing"), ("STATE", "state"), ("BY", "asked_by")]
    session.table(rows, [*columns, ("REASON", "reason"), ("ANSWER", "answer"), ("UNTIL", "expires_at")], empty="None.")


@request.command()
@click.argument("number", metavar="ID", type=int)
@click.option("--until", "until", required=True, help="90d, 12h, 2027-01-31 or a full time.")
@click.option("--answer", default="", help="A word for whoever asked.")
@remote
def approve(session: Session, number: int, until: str, answer: str) -> None:
    """Let in what the request ID asks for, until a time."""
    with session.connect() as hub:
        made = hub.post(f"requests/{number}/approve", {"expires_at": expiry(until), "answer": answer})
    session.show(made, f"Approved: {made['spec']} in {made['channel']}.")


@request.command()
@click.argument("number", metavar="ID", type=int)
@click.option("--answer", required=True, help="The sentence that whoever asked is told.")
@remote
def refuse(session: Session, number: int, answer: str) -> None:
    """Say no to the request ID."""
    with session.connect() as hub:
        made = hub.post(f"requests/{number}/refuse", {"answer": answer})
    session.show(made, f"Refused: {made['spec']} in {made['channel']}.")
