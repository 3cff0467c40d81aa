"""The operator's commands on the hub's own machine: accounts, tokens, proof, and always a line in the audit trail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.db import connection

from channels_app.models import Channel, PackageFile, Revision, Shard
from condahub.accounts.authentication import actor_from_headers
from condahub.accounts.models import ApiToken, User
from condahub.audit.models import AuditEvent
from condahub.errors import NotAuthenticated
from condahub.jobs.models import Job
from condahub.jobs.services import enqueue
from condahub.ops.roles import HOME
from condahub.storage.blobs import blobs
from tests.cli.conftest import Hub, Run
from tests.hub import RunningHub

pytestmark = pytest.mark.django_db(transaction=True)


def ok(run: Run, *arguments: str, stdin: str | None = None) -> str:
    result = run("admin", *arguments, stdin=stdin)
    assert result.exit_code == 0, (arguments, result.output, result.exception)
    return result.stdout


# -- accounts --------------------------------------------------------------------------------------------------------


def test_an_account_made_at_the_shell_can_sign_in_with_the_password_that_is_shown_once(run: Run, db: None) -> None:
    password = ok(run, "user", "create", "maria", "--name", "Maria").strip()
    assert authenticate(username="maria", password=password) == User.objects.get(username="maria")
    assert "maria" in ok(run, "user", "list") and password not in ok(run, "user", "list")
    event = AuditEvent.objects.get(action="user.create", target="maria")
    assert event.actor_label.startswith("shell:") and password not in json.dumps(event.details)


def test_a_password_can_come_from_standard_input_and_must_be_a_good_one(run: Run, db: None) -> None:
    assert ok(run, "user", "create", "maria", "--password-stdin", stdin="a long enough pass-phrase\n") == ""
    assert authenticate(username="maria", password="a long enough pass-phrase")
    weak = run("admin", "user", "create", "bob", "--password-stdin", stdin="12345\n")
    assert weak.exit_code == 1 and "password" in weak.stderr and not User.objects.filter(username="bob").exists()


def test_a_deactivated_account_is_out_at_once(run: Run, db: None) -> None:
    ok(run, "user", "create", "maria")
    secret = ok(run, "token", "create", "maria", "laptop").strip()
    assert actor_from_headers({"HTTP_X_API_KEY": secret}, None).label == "maria"
    ok(run, "user", "deactivate", "maria")
    with pytest.raises(NotAuthenticated):
        actor_from_headers({"HTTP_X_API_KEY": secret}, None)
    ok(run, "user", "reactivate", "maria")
    assert run("admin", "user", "deactivate", "nobody").exit_code == 1


def test_unlock_gives_an_administrator_back_whatever_became_of_him_and_the_trail_says_so(run: Run, db: None) -> None:
    first = ok(run, "unlock").strip()
    assert authenticate(username="admin", password=first)
    admin = User.objects.get(username="admin")
    assert admin.is_superuser and admin.is_staff
    User.objects.filter(pk=admin.pk).update(is_active=False, is_superuser=False, is_staff=False)
    User.objects.create_superuser("other")
    second = ok(run, "unlock").strip()
    assert authenticate(username="admin", password=first) is None
    assert authenticate(username="admin", password=second) == admin
    told = AuditEvent.objects.filter(action="user.unlock", target="admin")
    assert [event.actor_label.partition(":")[0] for event in told] == ["shell", "shell"]
    ok(run, "unlock", "--password-stdin", stdin="one of my own choosing\n")
    assert authenticate(username="admin", password="one of my own choosing")


def test_a_token_made_at_the_shell_has_the_scopes_and_the_end_it_was_given(run: Run, db: None) -> None:
    ok(run, "user", "create", "maria")
    secret = ok(run, "token", "create", "maria", "ci", "--scope", "read", "--expires", "30d").strip()
    token = ApiToken.objects.get(name="ci")
    assert secret.startswith("chub-user-") and "channel:read" in token.scopes and token.expires_at is not None
    assert run("admin", "token", "create", "maria", "ci", "--scope", "nonsense").exit_code == 1


# -- looking -----------------------------------------------------------------------------------------------------------


def test_channels_jobs_and_the_trail_are_listed(hub: Hub) -> None:
    hub("channel", "create", "tools", "--org", "acme")
    hub("upload", "tools", hub.package())
    assert json.loads(ok(hub.run, "channels", "--json"))[0]["files"] == 1
    job = enqueue(kind="channels.settle", payload={})
    assert "channels.settle" in ok(hub.run, "jobs", "list")
    assert {row["lane"] for row in json.loads(ok(hub.run, "jobs", "lanes", "--json"))} == {"quick", "heavy"}
    ok(hub.run, "jobs", "cancel", str(job.pk))
    assert Job.objects.get(pk=job.pk).state == "cancelled"
    assert "channel.create" in ok(hub.run, "audit") and "package.publish" not in ok(hub.run, "audit", "--action", "channel.create")


# -- verify, reindex, gc -----------------------------------------------------------------------------------------------


@pytest.fixture
def published(hub: Hub) -> Hub:
    hub("channel", "create", "tools", "--org", "acme")
    for version in ("1.0", "2.0"):
        hub("upload", "tools", hub.package("demo", version))
    hub("yank", "tools", "demo-1.0-0.conda")
    return hub


def problems(run: Run) -> dict[str, str]:
    result = run("admin", "verify", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == (0 if found["ok"] else 1)
    return {one["check"]: one["what"] for one in found["problems"]}


def test_what_holds_together_is_proven(published: Hub) -> None:
    assert problems(published.run) == {}
    assert "all right" in ok(published.run, "verify", "--fast")


def test_changed_and_missing_bytes_are_named(published: Hub) -> None:
    one, two = PackageFile.objects.order_by("filename")
    path = blobs().local_path(one.sha256)
    assert path is not None
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    assert set(problems(published.run)) == {"package bytes"} and "tools/noarch/demo-1.0-0.conda" in problems(published.run)["package bytes"]
    assert published.run("admin", "verify", "--fast").exit_code == 0
    path.unlink()
    blobs().delete(two.sha256)
    assert set(problems(published.run)) == {"package rows"}


def test_an_index_that_is_not_what_its_files_make_is_named_and_made_anew(published: Hub) -> None:
    PackageFile.objects.filter(version="2.0").update(state="yanked")
    assert "tools/noarch" in problems(published.run)["channel index"]
    assert "revision" in ok(published.run, "reindex", "tools")
    assert problems(published.run) == {}
    assert "nothing had to change" in ok(published.run, "reindex", "tools")


def test_lost_shards_and_a_wrong_head_are_named(published: Hub) -> None:
    Shard.objects.all().delete()
    assert "shards are missing" in problems(published.run)["channel index"]
    Revision.objects.order_by("-number").first().delete()  # type: ignore[union-attr]
    assert "channel index" in problems(published.run)


def test_a_forged_audit_trail_is_named(published: Hub) -> None:
    assert problems(published.run) == {}
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_auditevent'")
            for (name,) in cursor.fetchall():
                cursor.execute(f"DROP TRIGGER {name}")
        else:
            cursor.execute("ALTER TABLE audit_auditevent DISABLE TRIGGER ALL")
        cursor.execute("UPDATE audit_auditevent SET actor_label = 'somebody else' WHERE action = 'channel.create'")
    try:
        assert "was changed" in problems(published.run)["audit"]
    finally:
        from condahub.audit import triggers

        if connection.vendor != "sqlite":
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE audit_auditevent ENABLE TRIGGER ALL")
        triggers.install_after_migrate(sender=None, using="default")


def test_gc_says_what_would_go_and_what_went(published: Hub) -> None:
    assert "WOULD GO" in ok(published.run, "gc", "--dry-run")
    assert not AuditEvent.objects.filter(action="hub.gc").exists()
    assert "GONE" in ok(published.run, "gc")
    assert AuditEvent.objects.filter(action="hub.gc", actor_label__startswith="shell:").count() == 1
    assert Channel.objects.count() == 1


def test_a_refusal_is_a_sentence_and_never_a_traceback(run: Run, db: None) -> None:
    ok(run, "user", "create", "maria")
    again = run("admin", "user", "create", "Maria")
    assert again.exit_code == 1 and "not available" in again.stderr


# -- real processes ----------------------------------------------------------------------------------------------------


def condahub(*arguments: str, environment: dict[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "condahub.cli", *arguments],
        cwd=HOME,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.real
def test_on_a_running_hub_the_doctor_finds_nothing_and_the_command_works_from_end_to_end(
    running_hub: RunningHub, tmp_path: Path, eventually: Callable[..., object]
) -> None:
    from condahub.packages.maker import make_package

    environment = {**running_hub.environment, "CONDAHUB_CONFIG": str(tmp_path / "config.yaml"), "CONDAHUB_URL": running_hub.url}

    def finds_nothing() -> bool:
        seen = condahub("admin", "doctor", environment=environment)
        levels = [line.split()[0] for line in seen.stdout.splitlines() if line[:1] != " "]
        print(seen.stdout, seen.stderr)
        return seen.returncode == 0 and bool(levels) and "error" not in levels

    # The clock of a hub that has just started has done nothing yet.
    eventually(finds_nothing)
    signed_in = condahub("login", running_hub.url, "--token-stdin", environment=environment, stdin=running_hub.admin_token)
    assert signed_in.returncode == 0, signed_in.stderr
    assert condahub("org", "create", "cli-tests", environment=environment).returncode == 0
    assert condahub("channel", "create", "cli-tools", "--org", "cli-tests", environment=environment).returncode == 0
    uploaded = condahub("upload", "cli-tools", str(make_package(tmp_path, name="demo")), environment=environment)
    assert uploaded.returncode == 0 and "published" in uploaded.stdout, uploaded.stderr
    assert condahub("admin", "verify", environment=environment).returncode == 0
    running_log = running_hub.log
    assert running_hub.admin_token not in running_log and "Traceback" not in running_log


@pytest.mark.real
def test_the_server_commands_prepare_and_examine_a_hub_of_their_own(tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CONDAHUB_", "DJANGO_"))}
    environment = {**inherited, "CONDAHUB_DATA": str(tmp_path / "data"), "CONDAHUB_DEMO": "0"}
    prepared = condahub("server", "migrate", environment=environment)
    assert prepared.returncode == 0 and "sign in as admin" in prepared.stdout, prepared.stderr
    examined = condahub("admin", "doctor", "--json", environment=environment)
    assert examined.returncode == 1
    wrong = {row["check"] for row in json.loads(examined.stdout) if row["level"] == "error"}
    assert wrong == {"workers"}
