"""What every test can use: settings and database of its own, a running hub, a real PostgreSQL; and the tables a run ends with."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.management.commands import flush
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.backends.postgresql.base import DatabaseOperations as PostgresOperations  # type: ignore[attr-defined]
from django.db.backends.sqlite3.base import DatabaseOperations as SqliteOperations  # type: ignore[attr-defined]
from hypothesis import settings as hypothesis_settings

from tests import parts
from tests.hub import RunningHub, start_hub
from tests.postgres import postgres

# A run says the same of the same code; what chance finds is looked for by the long tests, whose property tests say so themselves.
hypothesis_settings.register_profile("steady", derandomize=True)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

# Minutes are shared out so that the two database runs and the real parts together stay within 3 + 12.
BUDGET_SECONDS = {"fast": 180, "database": 240, "real": 480, "long": 3600}
_SAME_FOR_EVERY_TEST = {"auth_permission", "django_content_type", "django_site"}
_DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "django_db_serialized_rollback", "live_server"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With another database only the tests that touch it run again; the real ones choose theirs."""
    if not os.environ.get("CONDAHUB_TEST_DATABASE_URL"):
        return
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        touches = item.get_closest_marker("django_db") or _DATABASE_FIXTURES & set(getattr(item, "fixturenames", ()))
        (kept if touches and not item.get_closest_marker("real") else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table of parts, and what each tier used of its budget."""
    skipped: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if parts.SKIP_PREFIX in reason:
            skipped[reason.split(parts.SKIP_PREFIX, 1)[1].split()[0]] += 1
    terminalreporter.section("parts and budget", sep="-")
    for line in parts.table(skipped):
        terminalreporter.write_line(line)
    for tier, used in _seconds_used(config).items():
        verdict = "" if used <= BUDGET_SECONDS[tier] else "  OVER BUDGET"
        terminalreporter.write_line(f"tier {tier}: {used:.0f} s of {BUDGET_SECONDS[tier]} s{verdict}", red=bool(verdict))


def _seconds_used(config: pytest.Config) -> dict[str, float]:
    """Seconds of each tier, shared among the worker processes that ran it."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    workers = int(getattr(config.option, "numprocesses", None) or 1)
    used: dict[str, float] = defaultdict(float)
    for reports in reporter.stats.values() if reporter else ():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                used[_tier(report)] += report.duration / workers
    return used


def _tier(report: pytest.TestReport) -> str:
    if "long" in report.keywords:
        return "long"
    if "real" in report.keywords:
        return "real"
    return "database" if os.environ.get("CONDAHUB_TEST_DATABASE_URL") else "fast"


@pytest.fixture(autouse=True)
def _no_notice() -> None:
    """What every page and job asks for is known beforehand, so that it counts in no test's queries."""
    from condahub.maintenance import selectors

    selectors.remember(selectors.Notice(), seconds=3600)


@pytest.fixture(scope="session", autouse=True)
def _rights_are_read_once_a_request() -> Iterator[None]:
    """A page that a busy machine makes for over a second would read them again before it refuses: a query more than it is said to take."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("condahub.accounts.policy.REFUSAL_RECHECK_SECONDS", float("inf"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _connections_stay_open() -> None:
    """As Django's own test client does: the end of a response must not look at a connection that the test has not opened."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)


@pytest.fixture(scope="session", autouse=True)
def _emptying_is_quick() -> Iterator[None]:
    """After a test that commits: only tables that hold rows are emptied, and what migrations fill (the same for every test) stays.

    TRUNCATE makes new files of every table and index, of which there are hundreds; making permissions anew asks for each model's.
    """
    inherited = SqliteOperations.sql_flush

    def on_sqlite(self: SqliteOperations, style: Any, tables: Sequence[str], **how: Any) -> list[str]:
        return inherited(self, style, _filled(self, tables), **how)

    def on_postgresql(self: PostgresOperations, style: Any, tables: Sequence[str], **how: Any) -> list[str]:
        emptied = [f"DELETE FROM {self.quote_name(name)};" for name in _filled(self, tables)]
        # A replica's session checks no foreign key, so the order is free.
        return ["SET session_replication_role = replica;", *emptied, "SET session_replication_role = DEFAULT;"] if emptied else []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteOperations, "sql_flush", on_sqlite)
        patch.setattr(PostgresOperations, "sql_flush", on_postgresql)
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_, **__: None)
        yield


def _filled(operations: BaseDatabaseOperations, tables: Sequence[str]) -> list[str]:
    asked = {name: operations.quote_name(name) for name in tables if name not in _SAME_FOR_EVERY_TEST}
    with operations.connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {quoted})" for name, quoted in asked.items()))
        return [name for (name,) in cursor.fetchall()]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """PostgreSQL drops no database that a thread of a test still has a connection to."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            cursor.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a real PostgreSQL's empty database (for `real` tests; the others get theirs from the run)."""
    with postgres() as url:
        yield url


@pytest.fixture(scope="session")
def running_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """One real hub (web, data, both lanes, beat) for all tests that only talk to it; tests that hurt it start one with `start_a_hub`."""
    # Upstreams of mirrors are servers of the tests.
    with start_hub(tmp_path_factory.mktemp("hub"), CONDAHUB_PRIVATE_NETWORKS_ALLOWED="127.0.0.0/8") as hub:
        yield hub


@pytest.fixture
def start_a_hub(tmp_path: Path) -> Iterator[Callable[..., RunningHub]]:
    """Starts hubs that the test may hurt: `start_a_hub(**environment)`; each has a data folder of its own."""
    hubs: list[RunningHub] = []

    def start(*, from_nothing: bool = False, **environment: str) -> RunningHub:
        hub = RunningHub.start(tmp_path / f"hub-{len(hubs)}", environment, from_nothing=from_nothing)
        hubs.append(hub)
        return hub

    yield start
    for hub in hubs:
        hub.cut_off()


@pytest.fixture
def eventually() -> Callable[..., object]:
    """`eventually(question)` asks until the answer is true and returns it."""

    def ask(question: Callable[[], object], within_seconds: float = 60) -> object:
        deadline = time.monotonic() + within_seconds
        while not (answer := question()):
            assert time.monotonic() < deadline, f"not so within {within_seconds} s: {question}"
            time.sleep(0.05)
        return answer

    return ask
