"""`condahub admin doctor`, `gc` and `verify`: the hub as a whole, examined, swept and proven."""

from __future__ import annotations

import json
import sys

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from condahub.cli import tables
from condahub.cli.exits import REFUSED
from condahub.cli.server import operator, register
from condahub.cli.session import size_text

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@register
@click.command()
@_JSON
def doctor(as_json: bool) -> None:
    """Examine what the hub stands on; ends with 1 when something is wrong."""
    from condahub.ops.doctor import Level, examine

    reports = examine()
    if as_json:
        rows = [{"check": one.name, "level": one.finding.level, "what": one.finding.what, "mend": one.finding.mend} for one in reports]
        click.echo(json.dumps(rows, indent=2))
    else:
        width = max(len(one.name) for one in reports)
        for one in reports:
            level = one.finding.level.value
            click.echo(f"{click.style(f'{level:<7}', fg=_COLOURS[level])}  {one.name:<{width}}  {one.finding.what}")
            if one.finding.mend:
                click.echo(f"{'':<7}  {'':<{width}}  -> {one.finding.mend}")
    if any(one.finding.level is Level.ERROR for one in reports):
        sys.exit(REFUSED)


@register
@click.command()
@click.option("--dry-run", is_flag=True, help="Count, and change nothing.")
@_JSON
def gc(dry_run: bool, as_json: bool) -> None:
    """Collect what nobody refers to any more, after the grace period. The hub does it daily by itself."""
    from condahub.audit.services import record
    from condahub.ops.gc import collect

    found = collect(dry_run=dry_run)
    if not dry_run:
        went = {one.what: one.count for one in found if one.count}
        record(actor=operator(), action="hub.gc", target="hub", details=went)
    rows = [one.as_dict() for one in found]
    shown = [{**row, "size": size_text(row["bytes"]) if row["bytes"] else ""} for row in rows]
    heading = "WOULD GO" if dry_run else "GONE"
    tables.show(rows if as_json else shown, [("WHAT", "what"), (heading, "count"), ("BYTES", "size")], as_json=as_json)


@register
@click.command()
@click.option("--fast", is_flag=True, help="Leave out what reads every byte of the store.")
@_JSON
def verify(fast: bool, as_json: bool) -> None:
    """Prove that facts, bytes, index and audit trail hold together; ends with 1 when something does not. Changes nothing."""
    from condahub.ops.verify import Problem, verifications

    problems: list[tuple[str, Problem]] = []
    counts: dict[str, int] = {}
    err = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} looked at"))
    with Progress(*columns, console=err, disable=as_json or not err.is_terminal, transient=True) as progress:
        for name, walk in verifications(with_slow=not fast).items():
            task = progress.add_task(name, total=None)
            counts[name] = 0
            for problem in walk():
                if problem is None:
                    counts[name] += 1
                    progress.update(task, completed=counts[name])
                    continue
                problems.append((name, problem))
                if not as_json:
                    click.secho(f"{name}: {problem.what}", fg="red")
                    if problem.mend:
                        click.echo(f"  -> {problem.mend}")
            progress.remove_task(task)
    if as_json:
        found = [{"check": name, "what": one.what, "mend": one.mend} for name, one in problems]
        click.echo(json.dumps({"ok": not problems, "looked_at": counts, "problems": found}, indent=2))
    else:
        for name, count in counts.items():
            bad = sum(one == name for one, _ in problems)
            click.echo(f"{name:<14}  {count} looked at, {f'{bad} PROBLEMS' if bad else 'all right'}")
    if problems:
        sys.exit(REFUSED)
