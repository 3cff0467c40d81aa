"""`condahub mirror`: copies a channel into a plain folder that any HTTP server serves, without a hub; its verbs speak to a hub."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from condahub.cli.exits import Failure, Usage
from condahub.cli.lazy import LazyGroup
from condahub.cli.session import size_text
from condahub.engine.lockfiles import read_lock
from condahub.errors import HubError
from mirrors_app.core.config import MirrorConfig, channel_address
from mirrors_app.core.credentials import Credentials
from mirrors_app.core.fetch import FetchSettings
from mirrors_app.core.filters import Filters
from mirrors_app.core.folder import FolderTarget
from mirrors_app.core.pace import Window
from mirrors_app.core.plan import Plan
from mirrors_app.core.run import RunReport, plan, sync
from mirrors_app.core.settings_file import SettingsFile, read_settings
from mirrors_app.core.ssrf import make_guard

EXIT_STATUS = {"ok": 0, "failed": 1, "partial": 3, "held": 4}
MEGABYTE = 1_000_000
DEFAULT_FREE_SPACE_MB = 1000
SHOWN_REFUSALS = 50
_REMOTE = "mirrors_app.remote"
_SUBCOMMANDS: dict[str, tuple[str, str]] = {
    "create": (f"{_REMOTE}.making:create", "Make a hub's channel that is filled from an upstream."),
    "update": (f"{_REMOTE}.making:update", "Change a hub's mirror."),
    "delete": (f"{_REMOTE}.making:delete", "End a hub's mirror; its packages stay unless said."),
    "list": (f"{_REMOTE}.showing:list_mirrors", "List a hub's mirrors."),
    "show": (f"{_REMOTE}.showing:show", "The settings of a hub's mirror."),
    "status": (f"{_REMOTE}.showing:status", "How a hub's mirror stands: its run, the last one, the next one."),
    "plan": (f"{_REMOTE}.running:plan", "What a run of a hub's mirror would do."),
    "run": (f"{_REMOTE}.running:run", "Bring a hub's mirror to its upstream."),
    "runs": (f"{_REMOTE}.showing:runs", "The runs of a hub's mirror."),
    "refused": (f"{_REMOTE}.showing:refused", "What the last run could not bring, and why."),
    "pause": (f"{_REMOTE}.running:pause", "No runs by the clock."),
    "resume": (f"{_REMOTE}.running:resume", "Runs by the clock again."),
    "cancel": (f"{_REMOTE}.running:cancel", "Stop a run."),
    "approve": (f"{_REMOTE}.running:approve", "Follow an index that was held."),
    "export": ("mirrors_app.bundles.carrying:export_bundle", "Make a bundle of a hub's channel, and fetch it into a folder."),
    "import": ("mirrors_app.bundles.carrying:import_bundle", "Bring a bundle from a folder into a hub's channel."),
}
_EPILOG = """\b
Exit codes: 0 the folder shows what the upstream has; 3 all but what is named; 4 held, nothing was changed: the
upstream's index looks wrong; 1 failed, nothing was changed; 2 wrong use.

\b
Credentials: in the address (https://user:password@host/channel or https://host/t/TOKEN/channel), or
CONDAHUB_UPSTREAM_TOKEN (as /t/TOKEN/), CONDAHUB_UPSTREAM_BEARER; for s3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY."""


def _when(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"'{text}' is no date; write 2026-01-31.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags, conda-mirror's among them; None means that it was not given, so that the file's value counts."""
    path = click.Path(path_type=Path)
    options = [
        click.option("--upstream-channel", "--source", "upstream_channel", help="A channel's URL, its name on the public host, a folder."),
        click.option("--target-directory", "--destination", "target_directory", type=path, help="The folder that holds the subdirs."),
        click.option("--platform", "--subdir", "platform", multiple=True, help="A subdir to mirror; may be repeated."),
        click.option("--config", type=path, help="YAML as conda-mirror has it: its flags, blacklist and whitelist; or 0.12's."),
        click.option("--lock", "locks", type=path, multiple=True, help="Exactly what a pixi.lock, conda-lock.yml or explicit file names."),
        click.option("--include", multiple=True, metavar="SPEC", help="Only what matches, for example 'numpy >=2' or 'py*'."),
        click.option("--exclude", multiple=True, metavar="SPEC", help="Nothing that matches."),
        click.option("-D", "--include-depends", is_flag=True, default=None, help="With all that the chosen packages need."),
        click.option("--newest", type=click.IntRange(1), metavar="N", help="Only the newest N versions of each name."),
        click.option("--max-size", type=click.IntRange(1), metavar="MB", help="No package that is larger."),
        click.option("--license", "licenses", multiple=True, metavar="GLOB", help="Only packages under such a licence."),
        click.option("--built-after", callback=_when, metavar="DATE", help="Only packages built then or later."),
        click.option("--built-before", callback=_when, metavar="DATE", help="Only packages built earlier."),
        click.option("--removed", type=click.Choice(["keep", "drop"]), default="keep", help="What to do with packages gone upstream."),
        click.option("--replaced", type=click.Choice(["hold", "follow"]), default="hold", help="A name that comes with other bytes."),
        click.option("--approve", multiple=True, metavar="ID", help="Follow a held index; the message that held it names the ID."),
        click.option("--dry-run", is_flag=True, default=None, help="Only say what would be done."),
        click.option("--max-packages", type=click.IntRange(1), help="Fetch at most so many in this run."),
        click.option("--max-parallel", type=click.IntRange(1, 256), help="Connections to a host (32)."),
        click.option("--max-retries", type=click.IntRange(0), help="Further attempts for a file (5)."),
        click.option("--timeout", "con_timeout", type=click.IntRange(1), metavar="SECONDS", help="To connect, and between pieces (60)."),
        click.option("--limit-rate", type=click.FloatRange(0.001), metavar="MB", help="At most so many megabytes a second."),
        click.option("--window", multiple=True, metavar="22:00-06:00", help="Download only in these hours (UTC)."),
        click.option("--allow-network", multiple=True, metavar="CIDR", help="Follow redirects into this private network."),
        click.option("--proxy", help="The proxy's URL."),
        click.option("--ssl-verify", "--ssl_verify", "ssl_verify", help="A CA bundle, or False."),
        click.option("-k", "--insecure", is_flag=True, help="Don't verify certificates."),
        click.option("--minimum-free-space", type=click.IntRange(0), metavar="MB", help="Stop before less is left (1000)."),
        click.option("--no-progress", is_flag=True, help="No progress bar."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
        click.option("-v", "--verbose", count=True, help="Say each package that is refused while it happens."),
        click.option("--temp-directory", hidden=True, help="Not needed: packages are written beside their place."),
        click.option("--num-threads", type=int, hidden=True, help="Not needed."),
        click.option("--no-validate-target", is_flag=True, default=None, hidden=True, help="Only unknown files are read again anyway."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(
    cls=LazyGroup,
    places={name: place for name, (place, _) in _SUBCOMMANDS.items()},
    summaries={name: text for name, (_, text) in _SUBCOMMANDS.items()},
    invoke_without_command=True,
    epilog=_EPILOG,
)
@_options
@click.pass_context
def mirror(context: click.Context, /, **given: Any) -> int | None:
    """Copy a channel into a folder, verified; give it again to bring it up to date, or after it was interrupted.

    The commands below are about mirrors in a hub instead.
    """
    if context.invoked_subcommand is not None:
        return None
    context.find_root().meta["condahub.json"] = given["as_json"]
    try:
        file = read_settings(given["config"]) if given["config"] is not None else SettingsFile()
        options = _merged(given, file)
        config = _config(options, file)
        if not options["target_directory"]:
            raise Usage("No folder is named.", hint="Give --target-directory.")
        folder = Path(options["target_directory"])
        with FolderTarget(folder, minimum_free_bytes=_free_space_mb(options) * MEGABYTE) as target:
            if options["dry_run"]:
                return _show_plan(asyncio.run(plan(config, target)), as_json=given["as_json"])
            with _watching(options) as watch, _stoppable() as stopped:
                report = asyncio.run(sync(config, target, progress=watch, cancelled=stopped, depth="identity"))
    except HubError as error:
        raise Failure(error.detail, hint=error.hint, code=error.code) from error
    except OSError as error:
        raise Failure(f"The folder can't be used: {error.strerror}.", code="unwritable") from error
    return _show_report(report, as_json=given["as_json"])


def _merged(given: Mapping[str, Any], file: SettingsFile) -> dict[str, Any]:
    """The command line, and below it the file."""
    flags = dict(file.flags)
    if "show_progress" in flags:
        flags["no_progress"] = not flags.pop("show_progress")
    return {**given, **{key: value for key, value in flags.items() if not given.get(key)}}


def _config(options: Mapping[str, Any], file: SettingsFile) -> MirrorConfig:
    upstream = options["upstream_channel"]
    platforms = options["platform"]
    subdirs = tuple(dict.fromkeys(platforms.split() if isinstance(platforms, str) else platforms))
    lock = tuple(package for path in options["locks"] for package in read_lock(path)) if options["locks"] else None
    if upstream is None and lock is None:
        raise Usage("No channel is named.", hint="Give --upstream-channel, or --lock.")
    if not subdirs and lock is None:
        raise Usage("No platform is named.", hint="Give --platform, for example --platform linux-64 --platform noarch.")
    upstreams: tuple[str, ...] = ()
    credentials: dict[str, Credentials] = {}
    if upstream is not None:
        address, found = channel_address(str(upstream), _given_credentials(str(upstream), file), local=True)
        upstreams, credentials = (address,), {address: found}
    return MirrorConfig(
        upstreams=upstreams,
        subdirs=subdirs,
        credentials=credentials,
        filters=_filters(options, file),
        lock=lock,
        removed=options["removed"],
        replaced=options["replaced"],
        approved=frozenset(options["approve"]),
        fetch=_fetch(options, [*upstreams, *(one.url for one in lock or ())]),
        max_packages=options["max_packages"] or 0,
    )


def _given_credentials(upstream: str, file: SettingsFile) -> Credentials:
    environment = os.environ
    if upstream.startswith("s3:"):
        return Credentials(
            kind="s3",
            username=environment.get("AWS_ACCESS_KEY_ID", environment.get("S3_ACCESS_KEY_ID_SOURCE", "")),
            secret=environment.get("AWS_SECRET_ACCESS_KEY", environment.get("S3_SECRET_ACCESS_KEY_SOURCE", "")),
            **file.s3,
        )
    if token := environment.get("CONDAHUB_UPSTREAM_TOKEN"):
        return Credentials(kind="token", secret=token)
    if bearer := environment.get("CONDAHUB_UPSTREAM_BEARER"):
        return Credentials(kind="bearer", secret=bearer)
    return Credentials()


def _filters(options: Mapping[str, Any], file: SettingsFile) -> Filters:
    return replace(
        file.filters,
        include=(*file.filters.include, *options["include"]),
        exclude=(*file.filters.exclude, *options["exclude"]),
        with_dependencies=bool(options["include_depends"]),
        newest_versions=options["newest"] or 0,
        max_bytes=(options["max_size"] or 0) * MEGABYTE,
        licenses=options["licenses"],
        built_after=options["built_after"],
        built_before=options["built_before"],
    )


def _fetch(options: Mapping[str, Any], addresses: list[str]) -> FetchSettings:
    verify = options["ssl_verify"]
    insecure = options["insecure"] or verify is False or str(verify).lower() == "false"
    seconds = float(options["con_timeout"] or 60)
    # Who gives an address on their own machine means it, wherever it is; where it redirects to is another matter.
    hosts = {urlsplit(address).hostname or "" for address in addresses}
    retries = options["max_retries"]
    return FetchSettings(
        connections_per_host=int(options["max_parallel"] or 32),
        bytes_per_second=int((options["limit_rate"] or 0) * MEGABYTE),
        windows=tuple(Window.parse(text) for text in options["window"]),
        attempts=1 + int(5 if retries is None else retries),
        connect_seconds=seconds,
        read_seconds=seconds,
        proxy=_proxy(options["proxy"]),
        ca_bundle=None if insecure or not verify else Path(str(verify)),
        verify_tls=not insecure,
        guard=make_guard(networks=options["allow_network"], hosts=hosts),
        local_folders=tuple(Path(urlsplit(one).path) for one in addresses if one.startswith("file:")),
    )


def _proxy(given: str | None) -> str:
    """A URL; conda-mirror also takes 'http:URL', the scheme it is for in front."""
    text = given or os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or ""
    scheme, _, rest = text.partition(":")
    return rest if scheme in ("http", "https") and "://" in rest else text


def _free_space_mb(options: Mapping[str, Any]) -> int:
    given = options["minimum_free_space"]
    return DEFAULT_FREE_SPACE_MB if given is None else int(given)


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """SIGINT and SIGTERM end the run with what it has; a second one ends it at once."""
    asked: list[int] = []

    def stop(number: int, _frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Watch:
    """Shows a run's progress on standard error."""

    def __init__(self, bar: Progress, *, verbose: bool) -> None:
        self._bar, self._verbose = bar, verbose
        self._bytes: TaskID = bar.add_task("index", total=None)

    def phase(self, name: str) -> None:
        self._bar.update(self._bytes, description=name)

    def planned(self, files: int, size_bytes: int) -> None:
        self._bar.update(self._bytes, total=size_bytes or None)
        if self._verbose:
            self.log(f"{files} packages to fetch, {size_text(size_bytes)}")

    def received(self, count_bytes: int) -> None:
        self._bar.advance(self._bytes, count_bytes)

    def finished(self, files: int) -> None: ...

    def log(self, line: str) -> None:
        if self._verbose:
            self._bar.console.print(Text(line))


@contextmanager
def _watching(options: Mapping[str, Any]) -> Iterator[Watch]:
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    hidden = bool(options["no_progress"]) or options["as_json"] or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True, refresh_per_second=4) as bar:
        yield Watch(bar, verbose=bool(options["verbose"]))


def _show_plan(found: Plan, *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("WHAT", "FILES", "SIZE", ""):
            table.add_column(heading, overflow="fold")
        for what, files, size, remark in found.rows():
            if files or what in ("to fetch", "unchanged"):
                table.add_row(what, str(files), "" if size is None else size_text(size), Text(remark))
        Console(highlight=False).print(table)
    return EXIT_STATUS["held"] if found.held else 0


def _show_report(report: RunReport, *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
        return EXIT_STATUS[report.status]
    for one in report.refused[:SHOWN_REFUSALS]:
        click.echo(f"refused  {one.subdir}/{one.filename}: {one.reason}", err=True)
    if len(report.refused) > SHOWN_REFUSALS:
        click.echo(f"refused  {len(report.refused) - SHOWN_REFUSALS} more; --json names them all", err=True)
    for subdir, filename, old, new in report.replaced:
        click.secho(f"ALERT  {subdir}/{filename} came with other bytes: sha256 {old[:12]} before, {new[:12]} now", fg="red", err=True)
    for held in report.held:
        click.echo(f"held  {held.subdir}: {held.reason} To follow it all the same: --approve {held.approval}", err=True)
    rate = f", {size_text(report.bytes)} in {report.seconds:.1f} s" if report.files else ""
    click.echo(f"{report.status}: {report.sentence()}{rate}")
    if report.hint:
        click.secho(report.hint, dim=True, err=True)
    return EXIT_STATUS[report.status]
