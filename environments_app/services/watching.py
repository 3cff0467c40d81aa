"""Follows files and folders of specifications: a changed one makes a build, a removed one archives its environment.

One look at all of them is enough, whatever happened since the last: whoever notices a change early only asks for it sooner.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from condahub.errors import Conflict, HubError, NotFound, Unprocessable
from condahub.events.services import emit
from condahub.jobs import services as jobs
from environments_app.models import Build, Environment, WatchedFile
from environments_app.services import builds, environments
from environments_app.spec import MAX_LOCK_SPEC_BYTES, parse

logger = logging.getLogger(__name__)

SCAN_KIND = "environments.watch"
SCAN_EVERY_SECONDS = 60
# A file that was written just now may be half of what it will be.
SETTLED_SECONDS = 1.0
# What may pass without the file being changed (a channel that comes, a right that is given) is tried again after this.
TRY_AGAIN = timedelta(hours=1)
MAX_FILES = 5000
MAX_PROBLEM_CHARS = 2000
MAX_PATH_CHARS = 800
MAX_FOLDER_CHARS = 500
SUFFIXES = (".yml", ".yaml", ".lock")
# A file called so says nothing of its environment; its folder does.
_PLAIN = frozenset({"environment", "pixi", "conda-lock", "conda"})


@dataclass(frozen=True)
class Watch:
    """One entry of CONDAHUB_WATCH."""

    root: Path
    organization: str
    account: str

    @classmethod
    def of(cls, text: str) -> Watch:
        """Out of `<path>=<organization>@<account>`. Raises Unprocessable."""
        path, equals, rest = text.strip().rpartition("=")
        organization, at, account = rest.partition("@")
        if not (equals and at and organization and account and os.path.isabs(path) and len(path) <= MAX_FOLDER_CHARS):
            raise Unprocessable(
                f"CONDAHUB_WATCH: '{text[:200]}' can't be read.",
                code="bad_watch",
                hint="Write <absolute path>=<organization>@<account>, several with commas between them.",
            )
        return cls(Path(path), organization, account)


@dataclass(frozen=True)
class _Found:
    """A file as it was read. identity: of the folder that it was found in."""

    path: str
    data: bytes
    settled: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def watches() -> list[Watch]:
    """What is to be followed. Raises Unprocessable for an entry that can't be read."""
    return [Watch.of(text) for text in settings.CONDAHUB_WATCH if text.strip()]


def ask_to_scan(seconds: float = 0.0) -> None:
    """Have everything looked at, once however often it is asked for."""
    jobs.enqueue(
        kind=SCAN_KIND, payload={}, coalesce_key="watch", actor_label="watch", run_after=timezone.now() + timedelta(seconds=seconds)
    )


def scan(*, check: Callable[[], None] = lambda: None) -> dict[str, int]:
    """Look at all watched files: how many made a build, archived their environment, or have a problem."""
    counts = {"files": 0, "builds": 0, "archived": 0, "problems": 0}
    for watch in watches():
        check()
        try:
            actor, organization = _for_whom(watch)
        except HubError as error:
            logger.warning("CONDAHUB_WATCH: %s is not followed: %s", watch.root, error.detail)
            counts["problems"] += 1
            continue
        _Scan(watch, actor, organization, counts, check).run()
    return counts


def _for_whom(watch: Watch) -> tuple[Actor, Organization]:
    user = User.objects.filter(username=watch.account, is_active=True).first()
    organization = Organization.objects.filter(name=watch.organization, deleted_at=None).first()
    if user is None or organization is None:
        missing = f"account '{watch.account}'" if user is None else f"organization '{watch.organization}'"
        raise NotFound(f"There is no {missing}.")
    return Actor(user=user, via="watch"), organization


class _Scan:
    """One look at one entry, with the rights of its account."""

    def __init__(self, watch: Watch, actor: Actor, organization: Organization, counts: dict[str, int], check: Callable[[], None]) -> None:
        self.watch, self.actor, self.organization, self.counts, self.check = watch, actor, organization, counts, check
        self.folder = str(watch.root)
        self.rows = {row.path: row for row in WatchedFile.objects.filter(folder=self.folder).select_related("environment__organization")}
        self.seen: set[str] = set()
        # What files that are still there said before.
        self.left: list[Environment] = []

    def run(self) -> None:
        identity = _identity(self.watch.root)
        if not identity:
            logger.warning("CONDAHUB_WATCH: %s can't be read; nothing is taken for removed.", self.folder)
            self.counts["problems"] += 1
            return
        unsettled = False
        found = list(_files(self.watch.root))
        self.seen = {one.path for one in found}
        for one in found:
            self.check()
            self.counts["files"] += 1
            unsettled |= not one.settled
            if one.settled:
                self._follow(one, identity)
        self._let_go(identity)
        if unsettled:
            ask_to_scan(SETTLED_SECONDS)

    def _follow(self, found: _Found, identity: str) -> None:
        row = self.rows.get(found.path) or WatchedFile(folder=self.folder, path=found.path)
        came_back = row.removed_at is not None
        changed = row.sha256 != found.sha256 or came_back
        due = bool(row.problem) and (row.tried_at is None or row.tried_at < timezone.now() - TRY_AGAIN)
        if not (changed or due):
            if row.folder_identity != identity:
                WatchedFile.objects.filter(pk=row.pk).update(folder_identity=identity)
            return
        told = row.problem if row.sha256 == found.sha256 else ""
        known = row.sha256 == found.sha256 and not row.problem
        environment = row.environment
        row.sha256, row.folder_identity, row.tried_at, row.removed_at = found.sha256, identity, timezone.now(), None
        try:
            with transaction.atomic():
                self._act(row, found, came_back=came_back, known=known)
                row.problem = ""
                row.save()
        except HubError as error:
            row.environment, row.problem = environment, error.detail[:MAX_PROBLEM_CHARS]
            row.save()
            self.counts["problems"] += 1
            if row.problem != told:
                self._tell(row)
        self.rows[found.path] = row

    def _act(self, row: WatchedFile, found: _Found, *, came_back: bool, known: bool) -> None:
        """Build what the file says, in the environment that it names; nothing where it says what was built before."""
        text = _text(found.data)
        _, spec = parse(text, public_url=settings.CONDAHUB_PUBLIC_URL)
        name = spec.name or _name_of(Path(found.path), self.watch.root)
        environment = (
            Environment.objects.existing().select_related("organization").filter(organization=self.organization, name=name).first()
        )
        others = self._others(row, environment)
        before = row.environment
        if before is not None and (environment is None or environment.pk != before.pk):
            self.left.append(before)
            known = False
        if environment is not None:
            if environment.archived_at is not None and (came_back or any(other.removed_at for other in others)):
                environments.unarchive_environment(actor=self.actor, environment=environment)
            if known or any(other.sha256 == found.sha256 and not other.problem for other in others):
                row.environment = environment
                return
        build: Build = builds.submit_specification(actor=self.actor, organization=self.organization, text=text, name=name)
        row.environment = build.environment
        self.counts["builds"] += 1
        logger.info("Watched file %s: build %s was asked for.", found.path, build)

    def _others(self, row: WatchedFile, environment: Environment | None) -> list[WatchedFile]:
        """Files that said the same environment and are gone: this is one of them under another name. Raises Conflict for one there."""
        if environment is None:
            return []
        others = list(WatchedFile.objects.filter(environment=environment).exclude(pk=row.pk))
        for other in others:
            if other.removed_at is None and (other.folder != self.folder or other.path in self.seen):
                raise Conflict(f"{Path(other.path).name} says what '{environment}' is already.", code="watched_twice", hint="Rename one.")
        for other in others:
            self.rows.pop(other.path, None)
        WatchedFile.objects.filter(pk__in=[other.pk for other in others]).delete()
        return others

    def _let_go(self, identity: str) -> None:
        """Archive what the files that are gone were about."""
        gone = [row for row in self.rows.values() if row.path not in self.seen and row.removed_at is None]
        if gone and not self.seen and any(row.folder_identity not in ("", identity) for row in gone):
            # Where it was there is another folder now, an empty one: a file system that is not mounted looks like this.
            logger.warning("CONDAHUB_WATCH: %s is another folder than before, and empty; nothing is taken for removed.", self.folder)
            self.counts["problems"] += 1
            return
        for row in gone:
            self.check()
            try:
                with transaction.atomic():
                    if row.environment is not None:
                        self._archive(row.environment)
                    WatchedFile.objects.filter(pk=row.pk).update(removed_at=timezone.now(), problem="")
            except HubError as error:
                said = error.detail[:MAX_PROBLEM_CHARS]
                self.counts["problems"] += 1
                if said != row.problem:
                    WatchedFile.objects.filter(pk=row.pk).update(problem=said)
                    row.problem = said
                    self._tell(row)
        for environment in self.left:
            if not WatchedFile.objects.filter(environment=environment, removed_at=None).exists():
                with suppress(HubError):
                    self._archive(environment)

    def _archive(self, environment: Environment) -> None:
        if environment.deleted_at is None and environment.archived_at is None:
            environments.archive_environment(actor=self.actor, environment=environment)
            self.counts["archived"] += 1

    def _tell(self, row: WatchedFile) -> None:
        name = os.path.relpath(row.path, self.folder) if row.path != self.folder else Path(row.path).name
        logger.warning("Watched file %s: %s", row.path, row.problem)
        emit(
            type="watch.problem",
            target=self.organization,
            object_name=self.organization.name,
            object_id=self.organization.pk,
            payload={"file": name, "reason": row.problem[:500]},
            actor=self.actor,
        )


def _text(data: bytes) -> str:
    if len(data) > MAX_LOCK_SPEC_BYTES:
        raise Unprocessable("The file is too large.", code="too_large")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Unprocessable("The file is no UTF-8 text.", code="bad_encoding") from None


def _name_of(path: Path, root: Path) -> str:
    """What a specification without a name is called."""
    stem = path.name.partition(".")[0]
    return path.parent.name if stem in _PLAIN and path != root else stem


def _identity(root: Path) -> str:
    """Device and inode of the folder; '' where there is none that can be read. Of a watched file, those of its folder."""
    with suppress(OSError):
        folder = root if root.is_dir() else root.parent
        # Readable, too: else everything would look removed.
        with os.scandir(folder):
            pass
        status = folder.stat()
        return f"{status.st_dev}:{status.st_ino}"
    return ""


def _files(root: Path) -> Iterator[_Found]:
    """The specifications in a folder and below, or the one file; what a symbolic link leads to outside of it is left alone."""
    inside = Path(os.path.realpath(root))
    if not inside.is_dir():
        inside = inside.parent
        if (found := _read(str(root), inside)) is not None:
            yield found
        return
    count = 0
    for folder, names, files in os.walk(root, followlinks=False):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            if name.startswith(".") or not name.endswith(SUFFIXES):
                continue
            path = os.path.join(folder, name)
            if not _can_be_kept(path):
                logger.warning("CONDAHUB_WATCH: %r has a name that can't be kept; it is not followed.", path[:200])
                continue
            count += 1
            if count > MAX_FILES:
                logger.warning("CONDAHUB_WATCH: %s holds more than %d files; the others are not followed.", root, MAX_FILES)
                return
            if (found := _read(path, inside)) is not None:
                yield found


def _can_be_kept(path: str) -> bool:
    """Whether a database holds the name: of Unicode, and not too long."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return len(path) <= MAX_PATH_CHARS


def _read(path: str, inside: Path) -> _Found | None:
    """The file, read through links only where they stay inside; None for what is no regular file."""
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(inside):
        return None
    try:
        # Opened by its real name, and looked at once more: a link may have been put there since.
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not _opened(descriptor, real).is_relative_to(inside):
            return None
        data = file.read(MAX_LOCK_SPEC_BYTES + 1)
    age = timezone.now().timestamp() - status.st_mtime
    return _Found(path, data, settled=age >= SETTLED_SECONDS or age < 0)


def _opened(descriptor: int, real: Path) -> Path:
    """Where the file is that was opened, on systems that tell."""
    told = f"/proc/self/fd/{descriptor}"
    return Path(os.path.realpath(told)) if os.path.exists(told) else real
