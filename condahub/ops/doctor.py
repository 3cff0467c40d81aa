"""Examines the hub of this machine: one check for each thing it stands on, and for each what is wrong and how to mend it."""

from __future__ import annotations

import logging
import os
import socket
import stat
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Max
from django.utils import timezone

from condahub.errors import HubError
from condahub.jobs import schedules, selectors
from condahub.jobs.states import Lane
from condahub.storage.blobs import blobs
from condahub.storage.temporary import RESERVE_BYTES

logger = logging.getLogger(__name__)

LOW_SPACE_BYTES = 2 * 1024**3
LOW_SPACE_SHARE = 0.05
BROKER_SECONDS = 3
# Some schedule is due every few seconds, and beat writes down what it ran every three minutes at the latest.
BEAT_SILENCE_SECONDS = 300
OLD_JOB_SECONDS = 300
CLOCK_SECONDS = 5.0


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """what: a sentence; mend: what the operator does about it, empty when nothing is to be done. No secrets in either."""

    level: Level
    what: str
    mend: str = ""


@dataclass(frozen=True)
class Report:
    """One check's name and what it found."""

    name: str
    finding: Finding


Check = Callable[[], "Finding | Iterable[Finding]"]

_checks: dict[str, Check] = {}


def ok(what: str) -> Finding:
    return Finding(Level.OK, what)


def warning(what: str, mend: str) -> Finding:
    return Finding(Level.WARNING, what, mend)


def error(what: str, mend: str) -> Finding:
    return Finding(Level.ERROR, what, mend)


def register_check(name: str, check: Check) -> None:
    """Have `check()` run by the doctor, after those registered before; from `AppConfig.ready`."""
    _checks[name] = check


def examine() -> list[Report]:
    """Run every check. One that fails itself is an error, and keeps no other from running."""
    reports: list[Report] = []
    for name, check in _checks.items():
        try:
            found = check()
            findings = [found] if isinstance(found, Finding) else list(found)
        except HubError as refusal:
            findings = [error(refusal.detail, refusal.hint)]
        except DatabaseError as failure:
            findings = [error(f"The database does not answer ({type(failure).__name__}).", "See 'database'.")]
        except Exception as failure:
            logger.exception("the check '%s' failed", name)
            findings = [error(f"The check itself failed ({type(failure).__name__}).", "The log above has the reason; please report it.")]
        reports += [Report(name, finding) for finding in findings]
    return reports


def check_database() -> Finding:
    database = "SQLite" if connection.vendor == "sqlite" else "PostgreSQL"
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as failure:
        mend = "Is the database server up, and CONDAHUB_DATABASE_URL right? Its folder writable, for SQLite?"
        return error(f"{database} does not answer ({type(failure).__name__}).", mend)
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if waiting:
        return error(f"{len(waiting)} migrations are not applied.", "Run: condahub server migrate")
    return ok(f"{database} answers, all migrations are applied.")


def check_journal() -> Finding:
    if connection.vendor != "sqlite":
        return ok("Not needed: the database is not SQLite.")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        mode = str(cursor.fetchone()[0]).lower()
    if mode != "wal":
        return error(
            f"SQLite's journal is in mode '{mode}': readers and writers block each other.",
            "Put the data folder on a local disk (WAL does not work on network filesystems).",
        )
    return ok("SQLite's write-ahead log is on.")


def check_store() -> Finding:
    storage = storages["blobs"]
    if not isinstance(storage, FileSystemStorage):
        blobs().exists("0" * 64)
        return ok("The bucket answers.")
    # Raises where the marker is missing: a volume that is not mounted is an empty folder without it.
    blobs().exists("0" * 64)
    folder = Path(settings.CONDAHUB_TEMP_DIR)
    if not os.access(storage.location, os.W_OK) or not os.access(folder, os.W_OK):
        return error("The store can be read and not written.", f"Give this user the right to write below {storage.location}.")
    if os.stat(folder).st_dev != os.stat(storage.location).st_dev:
        return error(
            f"{folder} is on another filesystem than the store, so that keeping an upload would copy it.",
            "Put both on one filesystem.",
        )
    return ok(f"The store at {storage.location} is there and can be written.")


def check_space() -> list[Finding]:
    places = {"data": Path(settings.CONDAHUB_DATA), "uploads": Path(settings.CONDAHUB_TEMP_DIR)}
    seen: dict[int, str] = {}
    for name, folder in places.items():
        if folder.exists():
            seen.setdefault(os.stat(folder).st_dev, name)
    return [_space(name, places[name]) for name in seen.values()]


def _space(name: str, folder: Path) -> Finding:
    usage = os.statvfs(folder)
    free, total = usage.f_bavail * usage.f_frsize, usage.f_blocks * usage.f_frsize
    text = f"{free / 1e9:.1f} GB of {total / 1e9:.1f} GB are free for {name} ({folder})."
    mend = "Free space, enlarge the volume, or run: condahub admin gc"
    if free < RESERVE_BYTES:
        return error(f"{text} Uploads are refused.", mend)
    if free < LOW_SPACE_BYTES or free < total * LOW_SPACE_SHARE:
        return warning(text, mend)
    return ok(text)


def check_broker() -> Finding:
    from condahub.celery import app

    try:
        with app.connection_for_write(connect_timeout=BROKER_SECONDS) as broker:
            broker.ensure_connection(max_retries=1, timeout=BROKER_SECONDS)
            kind = broker.transport.driver_type
    except Exception as failure:  # noqa: BLE001 - whatever a broker's client raises
        return warning(
            f"The broker does not answer ({type(failure).__name__}). Jobs go on, a few seconds later each.",
            "Is it up, and CONDAHUB_BROKER_URL right?",
        )
    return ok(f"The broker ({kind}) answers.")


def check_workers() -> list[Finding]:
    alive: dict[str, int] = {}
    for beat in selectors.workers_alive():
        alive[beat.lane] = alive.get(beat.lane, 0) + beat.slots
    findings = []
    for lane in Lane:
        if lane.value in alive:
            findings.append(ok(f"The {lane.value} lane works, with {alive[lane.value]} slots."))
        else:
            findings.append(error(f"No worker serves the {lane.value} lane.", f"Start one: condahub server {lane.value}"))
    return findings


def check_beat() -> Finding:
    from django_celery_beat.models import PeriodicTask

    from condahub.jobs.models import Job

    enabled = PeriodicTask.objects.filter(enabled=True, name__startswith=schedules.NAME_PREFIX)
    newest = enabled.aggregate(changed=Max("date_changed"), ran=Max("last_run_at"))
    if newest["changed"] is None:
        return error("No schedule is set up.", "Run: condahub server migrate")
    # Beat writes down when it ran what only every few minutes; the jobs it asked for say it sooner.
    asked = Job.objects.filter(coalesce_key__startswith="schedule:").aggregate(newest=Max("created_at"))["newest"]
    signs = [moment for moment in (newest["ran"], asked) if moment is not None]
    oldest_allowed = timezone.now() - timedelta(seconds=BEAT_SILENCE_SECONDS)
    mend = "Start it, once in the whole installation: condahub server beat"
    if not signs and newest["changed"] >= oldest_allowed:
        return ok("The schedules are new: within minutes they show whether beat runs.")
    if not signs:
        return error("Beat has never run: nothing is done by the clock.", mend)
    if max(signs) < oldest_allowed:
        return error(f"Beat has been silent since {max(signs):%Y-%m-%d %H:%M:%S} UTC: nothing is done by the clock.", mend)
    paused = PeriodicTask.objects.filter(enabled=False, name__startswith=schedules.NAME_PREFIX).values_list("name", flat=True)
    names = ", ".join(sorted(name.removeprefix(schedules.NAME_PREFIX) for name in paused))
    if names:
        return warning(f"Beat runs; these schedules are paused: {names}.", "Enable them again in the admin, under Periodic tasks.")
    return ok("Beat runs.")


def check_clock() -> Finding:
    """Leases and token expiry compare this machine's time with what the database holds."""
    with connection.cursor() as cursor:
        before = time.time()
        cursor.execute("SELECT CURRENT_TIMESTAMP")
        told = cursor.fetchone()[0]
    moment = told if isinstance(told, datetime) else datetime.fromisoformat(f"{told}+00:00")
    apart = abs(moment.timestamp() - before)
    if apart > CLOCK_SECONDS:
        return error(f"This machine's clock and the database's are {apart:.0f} s apart.", "Run a time service (NTP) on both.")
    newest = selectors.workers_alive().order_by("-seen_at").first()
    if newest is not None and newest.seen_at - timezone.now() > timedelta(seconds=CLOCK_SECONDS):
        return error(f"The clock of {newest.hostname} is ahead of this machine's.", "Run a time service (NTP) on both.")
    return ok("This machine and the database agree on the time.")


def check_queue() -> list[Finding]:
    findings = []
    for lane, depth in selectors.queue_depth().items():
        age = depth.oldest_age_seconds
        text = f"{lane.value}: {depth.running} jobs run, {depth.waiting} wait"
        if age is not None and age > OLD_JOB_SECONDS:
            findings.append(
                warning(f"{text}, the oldest for {age:.0f} s.", f"More slots or workers for the {lane.value} lane; see condahub jobs list.")
            )
        else:
            findings.append(ok(f"{text}."))
    return findings


def check_secrets() -> list[Finding]:
    """The data folder's secrets and database are for the hub's own user."""
    data = Path(settings.CONDAHUB_DATA)
    found = []
    for path in sorted([*(data / "secrets").glob("*"), *data.glob("*.sqlite3")]):
        limit = 0o077 if path.parent.name == "secrets" else 0o022
        if path.is_file() and stat.S_IMODE(path.stat().st_mode) & limit:
            found.append(error(f"{path} is open to other users of this machine.", f"Run: chmod go-rwx {path}"))
    if settings.SECRET_KEY and len(settings.SECRET_KEY) < 32:
        found.append(warning("The secret key is short.", "Set CONDAHUB_SECRET_KEY to at least 50 random characters."))
    return found or [ok("Secrets are readable by the hub's user only.")]


def check_user() -> Finding:
    if os.geteuid() == 0 and Path(settings.CONDAHUB_DATA).stat().st_uid == 0:
        return warning("The hub runs as root.", "Run it as a user of its own, who owns its data folder.")
    return ok("The hub does not run as root.")


def check_address() -> Finding:
    url = urlsplit(settings.CONDAHUB_PUBLIC_URL)
    host = url.hostname or ""
    if url.scheme not in ("http", "https") or not host or url.path or url.query or url.username:
        return error("CONDAHUB_PUBLIC_URL is not an address like https://hub.example.org.", "Correct it; links and sign-in follow from it.")
    local = host in ("127.0.0.1", "localhost", "::1")
    if local and settings.HOST not in ("127.0.0.1", "localhost", "::1"):
        return warning(
            f"The hub listens on {settings.HOST}, and its links say {settings.CONDAHUB_PUBLIC_URL}.",
            "Set CONDAHUB_PUBLIC_URL to the address that people use.",
        )
    if local:
        return ok(f"{settings.CONDAHUB_PUBLIC_URL}, for this machine only.")
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return warning(f"The name {host} is not known to this machine.", "Is CONDAHUB_PUBLIC_URL right, and the name in the DNS?")
    if url.scheme == "http":
        return warning(
            f"{settings.CONDAHUB_PUBLIC_URL} is not encrypted: tokens can be read on their way.", "Put TLS before the hub, use https."
        )
    return ok(f"{settings.CONDAHUB_PUBLIC_URL}.")


for _name, _check in (
    ("database", check_database),
    ("journal", check_journal),
    ("store", check_store),
    ("disk space", check_space),
    ("broker", check_broker),
    ("workers", check_workers),
    ("beat", check_beat),
    ("clock", check_clock),
    ("queue", check_queue),
    ("secrets", check_secrets),
    ("user", check_user),
    ("address", check_address),
):
    register_check(_name, _check)
