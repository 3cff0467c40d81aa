"""`condahub env pull` and `run`: a build's very environment on this machine, from its lock, without conda."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from condahub.cli.client import Hub
from condahub.cli.exits import Failure, Usage
from condahub.cli.remote import env_prefix
from condahub.cli.remote.env_names import Name
from condahub.cli.session import Session, remote, size_text
from condahub.cli.wording import segment
from condahub.engine import prefix as prefixes
from condahub.engine import protocol
from condahub.engine.lock import HubLock
from condahub.engine.runner import Answer, personal_environment
from condahub.engine.runner import run as run_engine
from condahub.errors import HubError

PULL_SECONDS = 6 * 3600.0
WHEELS_AT_ONCE = 4
READ_BYTES = 1024 * 1024
_PREFIX = click.option(
    "--prefix", "-p", type=click.Path(path_type=Path), help="The folder of the environment (else one of its own below your data folder)."
)


@click.command()
@click.argument("environment", metavar="ENVIRONMENT[@NUMBER]")
@_PREFIX
@click.option("--force", is_flag=True, help="Replace another conda environment that is there.")
@click.option("--compile/--no-compile", "compiles", default=False, help="Compile Python's bytecode now, not when it is first imported.")
@remote
def pull(session: Session, environment: str, prefix: Path | None, force: bool, compiles: bool) -> None:
    """Make a build of ENVIRONMENT (organization/name) on this machine: the very packages of its lock, each checked.

    Only packages that are not here yet are fetched. The folder is replaced in one step when all is there.
    """
    name = Name.of(environment, numbered=True)
    with session.connect() as hub:
        done = _Pull(session, hub, name, _place(hub, name, prefix)).go(force=force, compiles=compiles)
    session.show(done, "\n".join([*done["changes"], done["said"]]))


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("environment", metavar="ENVIRONMENT[@NUMBER]")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@_PREFIX
@click.option("--update", is_flag=True, help="Pull first, even if it is here.")
@remote
def run(session: Session, environment: str, command: tuple[str, ...], prefix: Path | None, update: bool) -> int:
    """Run COMMAND in ENVIRONMENT, which is pulled first if it is not here: condahub env run acme/tools -- python -V"""
    name = Name.of(environment, numbered=True)
    if command == ("--",):
        raise Usage("Run which command?", hint="condahub env run acme/tools -- python -V")
    with session.connect() as hub:
        place = _place(hub, name, prefix)
        known = env_prefix.made(place)
        if update or known is None or (name.number is not None and known.number != name.number):
            done = _Pull(session, hub, name, place).go(force=False, compiles=False)
            session.note(done["said"])
    return _run(place, command[1:] if command[0] == "--" else command)


def _place(hub: Hub, name: Name, prefix: Path | None) -> Path:
    chosen = prefix or env_prefix.default_prefix(hub.url, name.organization, name.name, name.number)
    # Its parents' links are followed, as they may change; a link at the place itself is refused later.
    absolute = Path(os.path.abspath(chosen))
    return Path(os.path.realpath(absolute.parent)) / absolute.name


class _Pull:
    """One pull of a build into a folder."""

    def __init__(self, session: Session, hub: Hub, name: Name, prefix: Path) -> None:
        self._session, self._hub, self._name, self._prefix = session, hub, name, prefix
        self._cache = env_prefix.cache_folder(hub.url)
        self._bar: Progress | None = None
        self._task: Any = None

    def go(self, *, force: bool, compiles: bool) -> dict[str, Any]:
        """What was done. Raises Failure; the folder is then as it was."""
        told = self._hub.get(f"{self._name.build_path}/lock")
        try:
            lock = HubLock.from_bytes(msgspec.json.encode(told["lock"]))
            about = self._about(lock, told)
            with env_prefix.alone(self._prefix):
                env_prefix.tidy(self._prefix)
                before = env_prefix.check_replaceable(self._prefix, about, force=force)
                return self._made(lock, told, about, before, compiles=compiles)
        except HubError as error:
            raise Failure(error.detail, hint=error.hint, code=error.code) from error
        except OSError as error:
            raise Failure(f"{self._prefix}: {error.strerror or error}.", code="os_error") from error

    def _about(self, lock: HubLock, told: dict[str, Any]) -> env_prefix.Made:
        here = env_prefix.subdir_here()
        if here not in lock.platforms:
            raise Failure(
                f"{self._name} is not built for {here}, but for {', '.join(lock.platforms)}.",
                hint=f"Add {here} to 'platforms' in its specification and build it again.",
                code="no_such_platform",
            )
        return env_prefix.Made(
            hub=self._hub.url,
            organization=self._name.organization,
            environment=self._name.name,
            number=told["number"],
            platform=here,
            packages=env_prefix.held_of(lock.platforms[here]),
            variables={str(key): str(value) for key, value in told["variables"].items()},
        )

    def _made(
        self, lock: HubLock, told: dict[str, Any], about: env_prefix.Made, before: env_prefix.Made | None, *, compiles: bool
    ) -> dict[str, Any]:
        said = {"prefix": str(self._prefix), "organization": about.organization, "environment": about.environment, "build": about.number}
        if before is not None and (before.packages, before.variables) == (about.packages, about.variables) and self._is_whole(before):
            env_prefix.mark(self._prefix, about)
            text = f"{self._prefix} is build {about.number} of {about.organization}/{about.environment} already."
            return {**said, "changes": [], "downloaded_bytes": 0, "said": text}
        changes = env_prefix.differences(before.holds if before is not None else {}, about.holds)
        try:
            with self._progress():
                downloaded = self._staged(lock, told, about)
                if compiles:
                    self._engine(protocol.Compile(prefix=str(self._staging), workers=os.cpu_count() or 1, trusted=True))
            env_prefix.mark(self._staging, about)
            env_prefix.put_in_place(self._prefix)
        finally:
            prefixes.remove(self._staging)
        text = (
            f"{about.organization}/{about.environment}@{about.number} is at {self._prefix}: "
            f"{len(about.packages)} packages, {size_text(downloaded)} fetched."
        )
        return {**said, "changes": changes, "downloaded_bytes": downloaded, "said": text}

    def _is_whole(self, known: env_prefix.Made) -> bool:
        """Whether the conda packages there are those that were put there: a person may have changed them since."""
        there = {(record["name"], record["version"], record["build"]) for _, record in prefixes.records(self._prefix)}
        return there == {(one.name, one.version, one.build) for one in known.packages if one.kind == "conda"}

    @property
    def _staging(self) -> Path:
        return env_prefix.staging_of(self._prefix)

    def _staged(self, lock: HubLock, told: dict[str, Any], about: env_prefix.Made) -> int:
        """Put the environment together beside its place; the bytes that were fetched for it."""
        answer = self._engine(
            protocol.Install(
                lock=lock.only(about.platform),
                platform=about.platform,
                channels=tuple(
                    protocol.Channel(name=one.name, address=f"{self._hub.url}/channels/{segment(one.name)}", revision=one.revision)
                    for one in lock.channels
                ),
                staging=str(self._staging),
                prefix=str(self._prefix),
                organization_cache=str(self._cache / "packages"),
                token=self._hub.token or "",
                specs=tuple(told["dependencies"]),
                variables=about.variables,
            )
        )
        assert isinstance(answer, protocol.InstallAnswer)
        if answer.link_scripts:
            self._session.note(f"{len(answer.link_scripts)} scripts that packages bring for installing did not run.")
        if told.get("ran_scripts") and about.platform.startswith("linux-"):
            self._session.note(
                f"On the hub {len(told['ran_scripts'])} of them ran: its folder and archives hold what they wrote, this does not."
            )
        wheels, fetched = self._wheels(lock, about)
        if wheels:
            request = protocol.LinkWheels(
                lock=lock.only(about.platform),
                platform=about.platform,
                staging=str(self._staging),
                prefix=str(self._prefix),
                wheels={digest: str(path) for digest, path in wheels.items()},
            )
            self._engine(request)
        return answer.downloaded_bytes + fetched

    def _wheels(self, lock: HubLock, about: env_prefix.Made) -> tuple[dict[str, Path], int]:
        """(the file of each wheel by sha256, bytes fetched)."""
        folder = self._cache / "wheels"
        folder.mkdir(parents=True, exist_ok=True)
        path = f"{self._name.path}/builds/{about.number}/wheels"

        def fetch(item: tuple[str, str]) -> int:
            digest, filename = item
            target = folder / f"{digest}.whl"
            if target.exists():
                return 0
            draft = folder / f".{digest}.{os.getpid()}"
            draft.unlink(missing_ok=True)
            try:
                self._hub.download(f"{path}/{digest}/{segment(filename)}", draft, size=0)
                if _sha256(draft) != digest:
                    raise Failure(f"{filename} is not what the lock promises: its sha256 differs.", code="hash_mismatch")
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)
            return target.stat().st_size

        wanted = {record.sha256: record.filename for record in lock.platforms[about.platform].pypi}
        with ThreadPoolExecutor(WHEELS_AT_ONCE, thread_name_prefix="wheels") as pool:
            fetched = sum(pool.map(fetch, wanted.items()))
        return {digest: folder / f"{digest}.whl" for digest in wanted}, fetched

    def _engine(self, request: protocol.Request) -> Answer:
        return run_engine(request, on_event=self._hear, timeout_seconds=PULL_SECONDS, environment=personal_environment())

    def _hear(self, event: protocol.Event) -> None:
        told = event.progress
        if told is None or self._bar is None:
            return
        self._bar.update(self._task, description=told.phase, completed=told.done, total=told.total)

    @contextmanager
    def _progress(self) -> Iterator[None]:
        """How far it is, for people at a terminal."""
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
        with Progress(*columns, console=self._session.err, transient=True, disable=self._session.as_json) as self._bar:
            self._task = self._bar.add_task("fetch", total=None)
            yield
        self._bar = None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _run(prefix: Path, command: tuple[str, ...]) -> int:
    """Become the command; where a process can't do that, wait for it."""
    environment = activated(prefix, os.environ)
    shell = _shell(prefix, environment)
    found = shutil.which(command[0], path=environment["PATH"])
    # What the scripts add to the PATH is known when they have run.
    if found is None and not shell:
        raise Failure(f"There is no command '{command[0]}' in {prefix} or on your PATH.", code="no_such_command", exit_code=127)
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform == "win32":
        return subprocess.run([str(found), *command[1:]], env=environment, check=False).returncode
    program, argv = (shell, [shell, "-c", _WITH_SCRIPTS, "condahub", *command]) if shell else (str(found), list(command))
    try:
        os.execve(program, argv, environment)
    except OSError as error:
        raise Failure(f"{program} can't be run: {error.strerror}.", code="not_executable", exit_code=126) from error


# In a function, where a script sees no arguments: those are the command's.
_WITH_SCRIPTS = """
_condahub_activate() {
    for _condahub_script in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do . "$_condahub_script"; done
    unset _condahub_script
}
_condahub_activate
unset -f _condahub_activate
exec "$@"
"""


def _shell(prefix: Path, environment: dict[str, str]) -> str:
    """The shell that runs what packages bring for activating: bash, which some of them need, else sh; '' where they bring nothing."""
    if sys.platform == "win32" or not any((prefix / "etc" / "conda" / "activate.d").glob("*.sh")):
        return ""
    return shutil.which("bash", path=environment["PATH"]) or shutil.which("sh", path=environment["PATH"]) or ""


def activated(prefix: Path, environment: Any) -> dict[str, str]:
    """The variables that activating the prefix sets, as conda's own activation does, without those that its scripts set."""
    folders = ("", "Library/mingw-w64/bin", "Library/usr/bin", "Library/bin", "Scripts", "bin") if sys.platform == "win32" else ("bin",)
    changed = {**environment, "PATH": os.pathsep.join([*(str(prefix / folder) for folder in folders), environment.get("PATH", os.defpath)])}
    # Of another Python, whose library this one would then load.
    changed.pop("PYTHONHOME", None)
    changed |= {"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": str(prefix), "CONDA_SHLVL": "1"}
    for file in sorted((prefix / "etc" / "conda" / "env_vars.d").glob("*.json")):
        try:
            changed |= {str(key): str(value) for key, value in msgspec.json.decode(file.read_bytes(), type=dict[str, Any]).items()}
        except (OSError, msgspec.DecodeError):
            continue
    return changed | prefixes.variables_of(prefix)
