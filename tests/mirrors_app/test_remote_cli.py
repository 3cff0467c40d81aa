"""`condahub mirror` against a hub, as people type it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from condahub.jobs.runner import drain
from mirrors_app.models import Mirror, SyncRun, Upstream
from mirrors_app.remote import watching
from tests.cli.conftest import Hub, _at_home, hub, run
from tests.mirrors_app.core.faults import Html, Status, named
from tests.mirrors_app.core.upstream_server import Channel, UpstreamServer
from tests.mirrors_app.world import LOOPBACK, shown

__all__ = ["_at_home", "hub", "run"]
pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "s3cr3t-of-the-upstream"


@pytest.fixture(autouse=True)
def _open(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED = LOOPBACK
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.05)
    monkeypatch.setattr("mirrors_app.remote.showing.WATCH_SECONDS", 0.05)


@contextmanager
def worker() -> Iterator[None]:
    """Somebody who does what is asked for."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            drain("heavy")
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def make(hub: Hub, server: UpstreamServer, *more: str, stdin: str | None = None) -> Any:
    return hub(
        "mirror",
        "create",
        "inside",
        "--org",
        "acme",
        "--upstream",
        server.url,
        "--subdir",
        "linux-64",
        "--subdir",
        "noarch",
        *more,
        stdin=stdin,
    )


def test_a_mirror_from_its_beginning_to_its_end(hub: Hub, server: UpstreamServer, channel: Channel) -> None:
    made = make(hub, server, "--exclude", "tool >=2", "--schedule", "30 2 * * *", "--time-zone", "Europe/Berlin")
    assert f"Created the mirror inside (filtered) of {server.url}" in made.stdout
    with worker():
        plan = hub("mirror", "plan", "inside").stdout
        assert "to fetch" in plan and "excluded by 'tool >=2'" in plan
        assert "excluded by" not in hub("mirror", "plan", "inside", "--include", "base").stdout
        assert not SyncRun.objects.exists()
        ran = hub("mirror", "run", "inside", "--wait").stdout
    assert "ok: 3 added" in ran
    assert sorted(shown(Mirror.objects.get())) == ["base-1.0-0.conda", "tool-1.0-0.conda"]
    status = hub("mirror", "status", "inside").stdout
    assert "inside: ok" in status and "3 added" in status and "Next run at" in status
    assert "filter exclude           tool >=2" in hub("mirror", "show", "inside").stdout
    assert hub.json("mirror", "list", "--state", "ok")[0]["name"] == "inside"
    assert hub.json("mirror", "list", "--state", "failed") == []
    assert "3 added" in hub("mirror", "runs", "inside").stdout
    number = hub.json("mirror", "runs", "inside")[0]["id"]
    assert "added  linux-64/base-1.0-0.conda" in hub("mirror", "runs", "inside", str(number), "--full").stdout
    hub("mirror", "pause", "inside")
    assert "inside: paused" in hub("mirror", "status", "inside").stdout
    hub("mirror", "resume", "inside")
    hub("mirror", "update", "inside", "--newest", "1")
    assert Mirror.objects.get().filters == {"exclude": ["tool >=2"], "newest_versions": 1}
    assert hub.run("mirror", "update", "inside").exit_code == 2
    assert hub.run("mirror", "delete", "inside").exit_code == 2, "it asks first"
    hub("mirror", "delete", "inside", "--yes")
    assert hub.run("mirror", "show", "inside").exit_code == 1
    assert hub.json("channel", "show", "inside")["kind"] == "hosted"


def test_the_exit_code_tells_the_ends_apart(hub: Hub, server: UpstreamServer, channel: Channel) -> None:
    make(hub, server)
    server.faults = [Status(404, named("tool-1"), times=0)]
    with worker():
        partial = hub.run("mirror", "run", "inside", "--wait")
        assert (partial.exit_code, partial.stdout.split(":")[0]) == (5, "partial")
        assert "refused  linux-64/tool-1.0-0.conda" in partial.stderr
        assert "tool-1.0-0.conda" in hub("mirror", "refused", "inside").stdout
        assert "1 package could not be brought" in hub("mirror", "status", "inside", "--watch").stdout
        for number in range(9):
            channel.add(f"more{number}", write=False)
        channel.write()
        server.faults = []
        assert hub.run("mirror", "run", "inside", "--wait").exit_code == 0
        for one in [*(channel.folder / "linux-64").glob("more*")]:
            one.unlink()
        server.faults = [Html(named("repodata"), times=0)]
        held = hub.run("mirror", "run", "inside", "--wait", "--json")
        assert (held.exit_code, json.loads(held.stdout)["state"]) == (6, "held")
        assert hub.run("mirror", "approve", "inside").exit_code == 1, "it is no index"
        server.faults = [Status(500, lambda path: True, times=0)]
        assert hub.run("mirror", "run", "inside", "--wait").exit_code == 1
        assert hub.run("mirror", "plan", "inside").exit_code == 1
    assert hub.run("mirror", "cancel", "inside").exit_code == 1, "nothing runs"
    hub("mirror", "run", "inside")
    assert "Asked to stop" in hub("mirror", "cancel", "inside").stdout
    assert hub.run("mirror", "run", "absent").exit_code == 1


def test_secrets_come_from_files_and_input_and_never_back(hub: Hub, server: UpstreamServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    told = [make(hub, server, "--token-file", str(tmp_path / "token"), "--credentials", "bearer", "--json").output]
    assert (Upstream.objects.get().credential_kind, bool(Upstream.objects.get().sealed_secret)) == ("bearer", True)
    with worker():
        hub("mirror", "run", "inside", "--wait")
    assert {headers["Authorization"] for _, headers in server.headers} == {f"Bearer {SECRET}"}
    told.append(hub("mirror", "update", "inside", "--upstream", server.url, "--username", "robot", "--password-stdin", stdin=SECRET).output)
    assert Upstream.objects.get().username == "robot"
    told += [
        hub("mirror", "show", "inside").output,
        hub("mirror", "list", "--json").output,
        hub("mirror", "show", "inside", "--json").output,
    ]
    assert "basic as robot, with a secret" in told[2]
    assert not [text for text in told if SECRET in text]
    two = [
        "mirror",
        "update",
        "inside",
        "--upstream",
        server.url,
        "--upstream",
        "https://1.1.1.1/x",
        "--password-stdin",
        "--username",
        "robot",
    ]
    refused = hub.run(*two, stdin=SECRET)
    assert refused.exit_code == 2 and "one upstream" in refused.stderr


def test_settings_and_locks_come_from_files(hub: Hub, server: UpstreamServer, tmp_path: Path) -> None:
    file = tmp_path / "inside.yaml"
    file.write_text(f"upstreams:\n- url: {server.url}\nsubdirs: [noarch]\nmode: filtered\nfilters:\n  include: [pure]\nremoved: drop\n")
    hub("mirror", "create", "inside", "--org", "acme", "--settings", str(file), "--removed", "keep")
    mirror = Mirror.objects.get()
    assert (mirror.mode, mirror.subdirs, mirror.filters, mirror.removed) == ("filtered", ["noarch"], {"include": ["pure"]}, "keep")
    lock = tmp_path / "explicit.txt"
    lock.write_text(f"@EXPLICIT\n{server.url}linux-64/base-1.0-0.conda\n")
    assert hub.json("mirror", "create", "locked", "--org", "acme", "--lock", str(lock))["mode"] == "lock"
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "wrong.yaml").write_text("speed: 5\n")
    for given, code in (("broken", 2), ("absent", 1), ("wrong", 1)):
        refused = hub.run("mirror", "create", "other", "--org", "acme", "--settings", str(tmp_path / f"{given}.yaml"))
        assert refused.exit_code == code and "Traceback" not in refused.output


def test_where_it_comes_from_is_for_those_who_may_read_the_mirror(hub: Hub, server: UpstreamServer) -> None:
    make(hub, server, "--visibility", "public")
    guest = ("--token", hub.secrets["guest"])
    assert json.loads(hub("mirror", "list", "--json", *guest).stdout) == []
    for verb in ("show", "status", "runs", "plan", "run", "pause"):
        refused = hub.run("mirror", verb, "inside", *guest)
        assert refused.exit_code == 1 and server.url not in refused.output
