"""Makes a data folder and a database ready to serve: at the first start all of it, at every later one nothing but new migrations.

An app adds a step of its own in `AppConfig.ready`: `first_start.register("the demo channel", make_demo, only_first=True)`.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ADMINISTRATOR = "admin"
# 15 bytes are 20 characters that a person can copy, and more than anybody can guess.
_PASSWORD_BYTES = 15


@dataclass
class FirstStart:
    """What a step is told, and what it may tell the person.

    `first` is True until everything of the first start is done. A step adds `(label, text)` to `hints`: a line of the greeting.
    """

    first: bool
    demo: bool
    url: str
    administrator: str = ADMINISTRATOR
    generated_password: str | None = None
    hints: list[tuple[str, str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The findings, for the supervisor."""
        return {
            "first": self.first,
            "administrator": self.administrator,
            "generated_password": self.generated_password,
            "url": self.url,
            "hints": self.hints,
        }


@dataclass(frozen=True)
class Step:
    """One idempotent piece of the preparation."""

    name: str
    run: Callable[[FirstStart], None]
    only_first: bool
    demo: bool


_steps: dict[str, Step] = {}


def register(name: str, run: Callable[[FirstStart], None], *, only_first: bool = False, demo: bool = False) -> None:
    """Have `run(first_start)` called after the migrations, in the order of registration.

    `only_first`: at the first start alone; what a person deleted later stays deleted. `demo`: left out with `CONDAHUB_DEMO=0`.
    A step that was cut short is run again from its beginning, so it must find what it made before.
    """
    _steps[name] = Step(name, run, only_first, demo)


def prepare(*, demo: bool = True, say: Callable[[str], None] = lambda _: None) -> FirstStart:
    """Migrate, run the steps that apply, make the first administrator; says what it does through `say`."""
    from django.conf import settings

    from condahub.accounts.models import User
    from condahub.jobs.schedules import ensure_schedules
    from condahub.storage import blobs

    migrated = _migrate()
    if migrated:
        say(f"database: {migrated} migrations applied")
    blobs.initialise()
    ensure_schedules()
    # Left behind by a first start that was cut short: its steps are run again.
    unfinished = settings.CONDAHUB_DATA / ".first-start"
    new = not User.objects.filter(is_superuser=True).exists()
    context = FirstStart(first=new or unfinished.exists(), demo=demo, url=settings.CONDAHUB_PUBLIC_URL)
    if context.first:
        unfinished.touch()
    make_administrator(context, new=new)
    for step in _steps.values():
        if (context.first or not step.only_first) and (context.demo or not step.demo):
            step.run(context)
            if context.first:
                say(step.name)
    unfinished.unlink(missing_ok=True)
    return context


def _migrate() -> int:
    """Bring the database to this release; how many migrations that took."""
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        call_command("migrate", interactive=False, verbosity=0)
    return len(plan)


def make_administrator(context: FirstStart, *, new: bool) -> None:
    """The first administrator, with the operator's password or a generated one; later only the name of who it is."""
    from condahub.accounts.models import User
    from condahub.accounts.policy import SYSTEM
    from condahub.accounts.services.users import create_user
    from condahub.settings.env import env

    if not new:
        first = User.objects.filter(is_superuser=True).order_by("pk").first()
        context.administrator = first.username if first else ADMINISTRATOR
        return
    password = env.str("CONDAHUB_ADMIN_PASSWORD", default="")
    if not password:
        password = context.generated_password = secrets.token_urlsafe(_PASSWORD_BYTES)
    create_user(actor=SYSTEM, username=ADMINISTRATOR, password=password, is_superuser=True)


def _complaints() -> tuple[list[str], list[str]]:
    """What the operator set that the hub cannot serve with, and what it had better not; a sentence each."""
    from django.core import checks

    found = checks.run_checks(tags=["security"])
    return [str(one.msg) for one in found if one.is_serious()], [str(one.msg) for one in found if not one.is_serious()]


def main() -> None:
    """Prepare; with `--json` the findings go to standard output for the supervisor, else sentences for a person."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "condahub.settings")
    import django

    from condahub.errors import HubError
    from condahub.settings.env import env

    django.setup()

    def say(line: str) -> None:
        print(f"condahub: {line}", file=sys.stderr, flush=True)

    try:
        refusals, warnings = _complaints()
        for warning in warnings:
            say(f"warning: {warning}")
        context = None if refusals else prepare(demo=env.bool("CONDAHUB_DEMO", default=True), say=say)
    except HubError as error:
        context, refusals = None, [f"{error.detail} {error.hint}".strip()]
    if context is None:
        for refusal in refusals:
            say(refusal)
        sys.exit(1)
    if "--json" in sys.argv[1:]:
        print(json.dumps(context.as_dict()))
    elif context.generated_password:
        print(f"condahub: sign in as {context.administrator} with the password {context.generated_password} (shown this once)")


if __name__ == "__main__":
    # The apps register with the module of this name, which is not the one that runs as `__main__`.
    from condahub.ops import first_start

    first_start.main()
