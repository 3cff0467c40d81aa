"""`condahub upload`: packages from disk to a channel, hashed first, streamed, and sent again when the connection breaks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from condahub.cli.client import Hub
from condahub.cli.exits import REFUSED, SIGNED_OUT, Failure, Unreachable, Usage
from condahub.cli.session import Session, remote, size_text
from condahub.cli.wording import PACKAGE_ENDINGS, segment

READ_BYTES = 1024 * 1024
# What stops the whole command, since the next file would meet it as well.
_SAME_FOR_ALL = frozenset({"not_authenticated", "forbidden", "not_hosted", "overwrite_forbidden", "quota_exceeded", "redirected"})


@click.command()
@click.argument("channel")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file of the same name with other bytes (where the channel allows it).")
@click.option("--subdir", help="The platform, where the packages do not say it themselves.")
@remote
def upload(session: Session, channel: str, files: tuple[Path, ...], force: bool, subdir: str | None) -> None:
    """Publish package FILES to CHANNEL. Repeating it is safe: bytes that are there already count as done."""
    sizes = {file: _checked_size(file) for file in files}
    results: list[dict[str, Any]] = []
    with session.connect() as hub, _progress(session, sizes) as progress:
        for file in dict.fromkeys(files):
            try:
                answer = _send(hub, progress, channel, file, sizes[file], force=force, subdir=subdir)
            except Failure as error:
                if len(sizes) == 1 or error.code in _SAME_FOR_ALL or isinstance(error, Unreachable) or error.exit_code == SIGNED_OUT:
                    raise
                results.append({"file": str(file), "error": error.as_dict()})
                if not session.as_json:
                    progress.console.print(f"{file.name}: {error.message}", style="red", markup=False)
                continue
            results.append({"file": str(file), **answer})
            if not session.as_json:
                click.echo(_said(answer, file))
    if session.as_json:
        session.print_json(results)
    _finish(results)


def _finish(results: Sequence[dict[str, Any]]) -> None:
    failed = sum("error" in one for one in results)
    if failed:
        raise Failure(
            f"{failed} of {len(results)} files were not published.",
            hint="The others are; give the command again when the reasons are mended.",
            code="some_failed",
            exit_code=REFUSED,
        )


def _checked_size(file: Path) -> int:
    if not file.name.endswith(PACKAGE_ENDINGS):
        raise Usage(f"{file} is not a conda package.", hint="Packages end with .conda or .tar.bz2.")
    try:
        if not file.is_file():
            raise Usage(f"{file} does not exist or is not a file.")
        return file.stat().st_size
    except OSError as error:
        raise Usage(f"{file} can't be read: {error.strerror}.") from error


def _progress(session: Session, sizes: dict[Path, int]) -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    hidden = session.as_json or not session.err.is_terminal
    return Progress(*columns, console=session.err, disable=hidden, transient=True)


def _send(hub: Hub, progress: Progress, channel: str, file: Path, size: int, *, force: bool, subdir: str | None) -> dict[str, Any]:
    task = progress.add_task(file.name, total=size)
    try:
        sha256 = _sha256(file)
        content = _content(file, lambda done: progress.update(task, completed=done))
        params = {"sha256": sha256, "force": force or None, "subdir": subdir}
        path = f"channels/{segment(channel)}/upload/{segment(file.name)}"
        answer = hub.upload(path, content=content, size=size, params=params)
    except OSError as error:
        raise Failure(f"{file} can't be read: {error.strerror}.", code="unreadable") from error
    finally:
        progress.remove_task(task)
    return answer if isinstance(answer, dict) else {}


def _sha256(file: Path) -> str:
    """Read once before sending: the hub then knows what must arrive, and a broken body can't become a package."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _content(file: Path, tell: Callable[[int], None]) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        done = 0
        tell(0)
        with file.open("rb") as source:
            while block := source.read(READ_BYTES):
                yield block
                done += len(block)
                tell(done)

    return read


def _said(answer: dict[str, Any], file: Path) -> str:
    where = f"{answer.get('subdir', '?')}/{answer.get('filename', file.name)}"
    if not answer.get("created", True):
        return f"there already  {where}"
    return f"published  {where} (revision {answer.get('revision', '?')}, {size_text(answer.get('size', 0))})"
