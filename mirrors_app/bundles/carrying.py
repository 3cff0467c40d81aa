"""`condahub mirror export` and `import`: a bundle from a hub into a folder, and from a folder into a hub."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from condahub.cli.client import Hub
from condahub.cli.exits import Failure
from condahub.cli.session import Session, remote, size_text
from condahub.cli.wording import segment
from condahub.errors import HubError
from mirrors_app.bundles.core.manifest import MANIFEST_NAME, SIGNATURE_NAME, read_manifest
from mirrors_app.bundles.core.reader import BundleFolder

READ_BYTES = 1024 * 1024
POLL_SECONDS = 1.0
PARTIAL = ".partial"
MEGABYTE = 1_000_000


@click.command("export")
@click.argument("channel")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--revision", type=click.IntRange(1), help="This state of the channel; else its head.")
@click.option("--since", type=click.IntRange(1), help="Only what changed since this revision, which an earlier bundle brought.")
@click.option("--environment", metavar="ORG/NAME", help="An environment with its lock and packages.")
@click.option("--part-size", type=click.FloatRange(0.1), metavar="MB", help="No part is larger (4000).")
@click.option("--export", "number", type=int, help="Fetch the export of this number, which was asked for before.")
@remote
def export_bundle(
    session: Session,
    channel: str,
    folder: Path,
    revision: int | None,
    since: int | None,
    environment: str | None,
    part_size: float | None,
    number: int | None,
) -> None:
    """Make a bundle of CHANNEL and fetch it into FOLDER. With --export, an interrupted fetch goes on where it was."""
    asked: dict[str, Any] = {"revision": revision, "since": since, "environment": environment}
    if part_size is not None:
        asked["part_bytes"] = int(part_size * MEGABYTE)
    folder.mkdir(parents=True, exist_ok=True)
    with session.connect() as hub:
        if number is None:
            body = {key: value for key, value in asked.items() if value is not None}
            number = hub.post(f"channels/{segment(channel)}/exports", body)["id"]
            session.note(f"Export {number}; if this is interrupted: condahub mirror export {channel} {folder} --export {number}")
        made = _wait(hub, f"exports/{number}", ("ready",))
        try:
            for file in sorted(made["files"], key=lambda one: one["name"] in (MANIFEST_NAME, SIGNATURE_NAME)):
                _fetch(hub, number, file, folder)
        except OSError as error:
            raise Failure(f"The folder can't be written: {error.strerror}.", code="unwritable") from error
    left = f", {len(made['left_out'])} files may not be given out" if made["left_out"] else ""
    session.show(made, f"{folder}: revision {made['revision']} of {channel}, {len(made['files'])} files, {size_text(made['size'])}{left}")


def _wait(hub: Hub, path: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    """Until it is in a state that is wanted. Raises Failure for any other end."""
    while True:
        found: dict[str, Any] = hub.get(path)
        if found["state"] in wanted:
            return found
        if found["state"] in ("failed", "refused", "deleted", "cancelled"):
            error = found.get("error") or {}
            raise Failure(error.get("detail") or f"It is {found['state']}.", code=error.get("code") or found["state"])
        time.sleep(POLL_SECONDS)


def _fetch(hub: Hub, number: int, file: dict[str, Any], folder: Path) -> None:
    """One file; what is there whole is left, what is there in part is completed."""
    target, partial = folder / file["name"], folder / (file["name"] + PARTIAL)
    if target.is_file() and file["sha256"] and _sha256(target) == file["sha256"]:
        return
    hub.download(f"exports/{number}/files/{file['name']}", partial, size=file["size"])
    if file["sha256"] and _sha256(partial) != file["sha256"]:
        partial.unlink()
        raise Failure(f"{file['name']} came with other bytes than the hub has.", hint="Give the command again.", code="wrong_sha256")
    partial.replace(target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@click.command("import")
@click.argument("channel")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--on-hub", is_flag=True, help="FOLDER is one of the hub's own machine, below one that IT has listed.")
@click.option("--apply-policies", is_flag=True, help="Set the rules that the channel does not have; else they are proposals.")
@click.option("--import", "number", type=int, help="Go on with the import of this number.")
@remote
def import_bundle(session: Session, channel: str, folder: Path, on_hub: bool, apply_policies: bool, number: int | None) -> None:
    """Bring the bundle in FOLDER into CHANNEL. With --import, what was sent before is not sent again."""
    body: dict[str, Any] = {"folder": str(folder)} if on_hub else {}
    if apply_policies:
        body["policies"] = "apply"
    with session.connect() as hub:
        if number is None:
            number = hub.post(f"channels/{segment(channel)}/imports", body)["id"]
            session.note(f"Import {number}; if this is interrupted: condahub mirror import {channel} {folder} --import {number}")
        if not on_hub:
            _send(hub, number, folder)
        state = hub.get(f"imports/{number}")["state"]
        if state != "unchanged":
            hub.post(f"imports/{number}/run")
        done = _wait(hub, f"imports/{number}", ("done", "unchanged"))
    session.show(done, _said(channel, done))


def _send(hub: Hub, number: int, folder: Path) -> None:
    place = BundleFolder(folder)
    try:
        raw, _ = place.manifest()
        sizes = {part.name: part.size for part in read_manifest(raw).parts}
    except HubError as error:
        raise Failure(error.detail, hint=error.hint, code=error.code) from error
    sent = hub.get(f"imports/{number}")
    for name in (SIGNATURE_NAME, MANIFEST_NAME):
        if name in sent["missing"]:
            sent = _put(hub, number, folder / name)
    if sent["state"] == "unchanged":
        return
    for name in sent["missing"]:
        if name in sizes:
            _put(hub, number, folder / name)


def _put(hub: Hub, number: int, path: Path) -> dict[str, Any]:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise Failure(f"{path} can't be read: {error.strerror}.", code="bundle_incomplete") from error
    answer: dict[str, Any] = hub.upload(f"imports/{number}/files/{path.name}", content=_content(path), size=size, params={}, method="PUT")
    return answer


def _content(path: Path) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        with path.open("rb") as file:
            while block := file.read(READ_BYTES):
                yield block

    return read


def _said(channel: str, done: dict[str, Any]) -> str:
    if done["state"] == "unchanged":
        return f"{channel} has revision {done['source_revision']} of {done['source_name']} already: nothing was changed."
    result = done["result"]
    counts = ", ".join(f"{result[key]} {key.replace('_', ' ')}" for key in ("added", "changed", "removed", "kept_here") if result.get(key))
    lines = [f"{channel} shows revision {done['source_revision']} of {done['source_name']} now: {counts or 'no file changed'}."]
    if proposed := result.get("policies_proposed"):
        lines.append(f"The source's rules differ from those here, and wait for you: {', '.join(proposed)}.")
    if waiting := result.get("advisories_not_loaded"):
        lines.append(f"{waiting} advisories were not loaded: that is for staff.")
    return "\n".join(lines)
