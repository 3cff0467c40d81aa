"""Files of a channel: list them, move them between their states, copy them, hotfix their records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from condahub.cli.exits import Usage
from condahub.cli.session import Session, remote, size_text
from condahub.cli.wording import confirm, resolve, segment

STATES = click.Choice(["live", "yanked", "held", "deleted", "purged"])


@click.command("list")
@click.argument("channel")
@click.option("--subdir", help="Of this platform only, for example noarch or linux-64.")
@click.option("--name", help="Of this package only.")
@click.option("--state", type=STATES, help="In this state only.")
@remote
def list_files(session: Session, channel: str, subdir: str | None, name: str | None, state: str | None) -> None:
    """The files of CHANNEL."""
    with session.connect() as hub:
        rows = list(hub.pages(f"channels/{segment(channel)}/files", subdir=subdir, name=name, state=state))
    if session.as_json:
        session.print_json(rows)
        return
    shown = [
        {**row, "path": f"{row.get('subdir')}/{row.get('filename')}", "bytes": size_text(row["size"]) if "size" in row else ""}
        for row in rows
    ]
    session.table(
        shown,
        [("FILE", "path"), ("STATE", "state"), ("SIZE", "bytes"), ("SINCE", "indexed_at"), ("BY", "uploaded_by"), ("REASON", "reason")],
        empty=f"'{channel}' has no such files.",
    )


@click.command()
@click.argument("source")
@click.argument("target")
@click.argument("files", nargs=-1, required=True)
@click.option("--promote", is_flag=True, help="Take them out of SOURCE as well.")
@remote
def copy(session: Session, source: str, target: str, files: tuple[str, ...], promote: bool) -> None:
    """Put FILES (SUBDIR/FILENAME) of the channel SOURCE into TARGET as one change; no bytes are moved."""
    with session.connect() as hub:
        wanted = resolve(hub, source, files)
        answer = hub.post(f"channels/{segment(target)}/copy", {"source": source, "files": wanted, "promote": promote})
    session.show(answer, f"{'Promoted' if promote else 'Copied'} {_count(len(wanted))} from {source} to {target}.")


def _count(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def _verb(name: str, done: str, text: str, *, asks: bool = False, needs_reason: bool = False) -> click.Command:
    """The command of one verb on files."""

    why = "Why; kept with the file and in the audit trail."
    reason_option = click.option("--reason", required=True, help=why) if needs_reason else click.option("--reason", default="", help=why)

    @click.command(name, help=f"{text}\n\nFILES are written SUBDIR/FILENAME; the subdir may be left out where only one has the file.")
    @click.argument("channel")
    @click.argument("files", nargs=-1, required=True)
    @reason_option
    @click.option("--yes", "-y", is_flag=True, help="Do not ask.")
    @remote
    def command(session: Session, channel: str, files: tuple[str, ...], reason: str, yes: bool) -> None:
        if asks:
            confirm(f"{name.capitalize()} {_count(len(files))} of {channel}?", yes)
        with session.connect() as hub:
            wanted = resolve(hub, channel, files)
            answer: Any = hub.post(f"channels/{segment(channel)}/files/{name}", {"files": wanted, "reason": reason})
        session.show(answer, "\n".join(f"{done} {one['subdir']}/{one['filename']}" for one in wanted))

    return command


delete = _verb("delete", "deleted", "Take files out of CHANNEL's current state; past revisions go on showing them.", asks=True)
yank = _verb("yank", "yanked", "Take files out of CHANNEL's index; their URLs go on working.")
restore = _verb("restore", "restored", "Bring yanked or deleted files of CHANNEL back.")
quarantine = _verb("quarantine", "quarantined", "Hold files of CHANNEL back until they are released.", needs_reason=True)
release = _verb("release", "released", "Show files of CHANNEL that were held back.")
purge = _verb("purge", "purged", "Remove files' bytes from CHANNEL and all its revisions, for good.", asks=True, needs_reason=True)


@click.command()
@click.argument("channel")
@click.argument("subdir")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@remote
def hotfix(session: Session, channel: str, subdir: str, file: Path) -> None:
    """Change records in CHANNEL's SUBDIR by the patch instructions in FILE (patch_instructions.json)."""
    body = _json_in(file)
    with session.connect() as hub:
        answer = hub.post(f"channels/{segment(channel)}/hotfix/{segment(subdir)}", body)
    session.show(answer, f"Applied {file.name} to {channel}/{subdir}.")


@click.command()
@click.argument("channel")
@click.argument("file")
@click.argument("bundle", type=click.Path(dir_okay=False, path_type=Path))
@remote
def attest(session: Session, channel: str, file: str, bundle: Path) -> None:
    """Bring what attests FILE (SUBDIR/FILENAME) of CHANNEL: a Sigstore bundle of a CEP-27 statement, or an array of them, in BUNDLE."""
    body = _json_in(bundle)
    with session.connect() as hub:
        (wanted,) = resolve(hub, channel, (file,))
        place = f"channels/{segment(channel)}/files/{segment(wanted['subdir'])}/{segment(wanted['filename'])}"
        answer = hub.post(f"{place}/attestations", body)
    signers = "\n".join(f"signed, it says, by {one['identity']} ({one['issuer'] or 'nobody vouches'})" for one in answer["signers"])
    session.show(answer, f"{wanted['subdir']}/{wanted['filename']} is attested by {answer['url']}\n{signers}")


def _json_in(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise Usage(f"{file} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise Usage(f"{file} is not JSON: {error}.") from None
