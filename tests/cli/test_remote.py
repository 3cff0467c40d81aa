"""What people do against a hub with the command: every verb, over HTTP, as they type it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import httpx
import pytest
import yaml

from channels_app.models import FileState, PackageFile
from condahub.accounts.models import ApiToken
from condahub.jobs.models import Job
from condahub.jobs.services import enqueue
from tests.attested import IDENTITY, make_bundle
from tests.cli.conftest import Hub, Run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tools(hub: Hub) -> Hub:
    hub("channel", "create", "tools", "--org", "acme")
    return hub


# -- signing in ------------------------------------------------------------------------------------------------------


def test_login_keeps_the_token_for_its_owner_alone_and_never_shows_it(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONDAHUB_TOKEN")
    monkeypatch.delenv("CONDAHUB_URL")
    secret = hub.secrets["maria"]
    result = hub("login", f"{hub.url}/", stdin=f"{secret}\n")
    assert f"Signed in to {hub.url} as maria." in result.stdout
    assert secret not in result.output
    file = Path(os.environ["CONDAHUB_CONFIG"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert yaml.safe_load(file.read_text())["hubs"] == {hub.url: {"token": secret, "user": "maria"}}
    shown = hub("whoami").stdout
    assert "maria" in shown and "acme (owner)" in shown and secret not in shown
    hub("logout")
    assert secret not in file.read_text()
    refused = hub.run("whoami")
    assert refused.exit_code == 2 and "condahub login" in refused.stderr


def test_login_takes_a_token_from_standard_input(hub: Hub) -> None:
    hub("login", hub.url, "--token-stdin", stdin=hub.secrets["guest"] + "\n")
    assert yaml.safe_load(Path(os.environ["CONDAHUB_CONFIG"]).read_text())["hubs"][hub.url]["user"] == "guest"


def test_a_token_that_the_hub_does_not_know_is_not_kept(hub: Hub) -> None:
    result = hub.run("login", hub.url, "--token", "chub-user-0000000000000000000000000000000000000000-000000")
    assert result.exit_code == 4 and "Traceback" not in result.output
    assert not Path(os.environ["CONDAHUB_CONFIG"]).exists()


def test_a_token_goes_to_the_hub_it_is_for_and_to_no_other(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONDAHUB_TOKEN")
    monkeypatch.delenv("CONDAHUB_URL")
    hub("login", hub.url, "--token-stdin", stdin=hub.secrets["maria"])
    elsewhere = hub.url.replace("localhost", "127.0.0.1")
    result = hub.run("whoami", "--hub", elsewhere)
    assert result.exit_code == 4


# -- channels --------------------------------------------------------------------------------------------------------


def test_a_channel_is_made_shown_changed_renamed_deleted_and_restored(hub: Hub) -> None:
    assert f"{hub.url}/channels/tools" in hub("channel", "create", "tools", "--org", "acme", "--description", "Our own").stdout
    assert [row["name"] for row in hub.json("channel", "list")] == ["tools"]
    assert hub.json("channel", "show", "tools")["visibility"] == "private"
    hub("channel", "update", "tools", "--visibility", "internal", "--keep-builds", "3")
    changed = hub.json("channel", "show", "tools")
    assert (changed["visibility"], changed["keep_builds"]) == ("internal", 3)
    hub("channel", "update", "tools", "--keep-builds", "0")
    assert hub.json("channel", "show", "tools")["keep_builds"] is None
    hub("channel", "rename", "tools", "instruments")
    assert "instruments" in hub("channel", "list", "--org", "acme").stdout
    hub("channel", "delete", "instruments", "--yes")
    assert hub.json("channel", "list") == []
    hub("channel", "restore", "instruments")
    assert [row["name"] for row in hub.json("channel", "list")] == ["instruments"]


def test_nothing_is_deleted_unasked(tools: Hub) -> None:
    refused = tools.run("channel", "delete", "tools")
    assert refused.exit_code == 2 and "--yes" in refused.stderr
    assert len(tools.json("channel", "list")) == 1


def test_what_one_may_not_see_is_refused_in_the_hub_s_words(tools: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDAHUB_TOKEN", tools.secrets["guest"])
    hidden, unknown = tools.run("list", "tools"), tools.run("list", "nothing")
    assert hidden.exit_code == unknown.exit_code == 1
    assert hidden.stderr == unknown.stderr != ""
    assert hidden.stdout == ""
    told = json.loads(tools.run("list", "tools", "--json").stderr)
    assert told["code"] == "forbidden" and told["detail"]


# -- files -----------------------------------------------------------------------------------------------------------


def test_an_uploaded_package_can_be_listed_and_downloaded(tools: Hub) -> None:
    path = tools.package("demo", "1.0")
    said = tools("upload", "tools", path).stdout
    assert "published  noarch/demo-1.0-0.conda (revision 2" in said
    listed = tools.json("list", "tools")
    assert [(row["subdir"], row["filename"], row["state"]) for row in listed] == [("noarch", "demo-1.0-0.conda", "live")]
    assert "noarch/demo-1.0-0.conda" in tools("list", "tools", "--name", "demo").stdout
    assert tools.json("list", "tools", "--subdir", "linux-64") == []
    answer = httpx.get(f"{tools.url}/get/tools/noarch/demo-1.0-0.conda", headers={"X-API-Key": tools.secrets["maria"]})
    assert answer.content == Path(path).read_bytes()


def test_uploading_again_is_done_already_and_other_bytes_are_refused(tools: Hub) -> None:
    tools("upload", "tools", tools.package("demo"))
    assert "there already" in tools("upload", "tools", tools.package("demo")).stdout
    refused = tools.run("upload", "tools", tools.package("demo", files={"share/other": b"other"}))
    assert refused.exit_code == 1 and "other bytes" in refused.stderr and "build number" in refused.stderr


def test_with_force_an_owner_replaces_a_file_where_the_channel_allows_it(tools: Hub) -> None:
    tools("upload", "tools", tools.package("demo"))
    other = tools.package("demo", files={"share/other": b"other"})
    assert tools.run("upload", "tools", other, "--force").exit_code == 1
    tools("channel", "update", "tools", "--allow-overwrite")
    assert tools.json("upload", "tools", other, "--force")[0]["created"] is True


def test_of_several_files_the_good_ones_are_published_and_the_command_fails(tools: Hub, tmp_path: Path) -> None:
    bad = tmp_path / "broken-1.0-0.conda"
    bad.write_bytes(b"no package")
    result = tools.run("upload", "tools", tools.package("a"), str(bad), tools.package("b"))
    assert result.exit_code == 1
    assert "broken-1.0-0.conda" in result.stderr and "1 of 3" in result.stderr
    assert [row["name"] for row in tools.json("list", "tools")] == ["a", "b"]


def test_what_is_no_package_file_is_refused_before_anything_is_sent(hub: Hub, tmp_path: Path) -> None:
    text = tmp_path / "readme.txt"
    text.write_text("hello")
    assert hub.run("upload", "tools", str(text)).exit_code == 2
    assert hub.run("upload", "tools", str(tmp_path / "absent-1-0.conda")).exit_code == 2


def test_files_move_between_their_states(tools: Hub) -> None:
    tools("upload", "tools", tools.package("demo"))
    full, short = "noarch/demo-1.0-0.conda", "demo-1.0-0.conda"

    def state() -> str:
        return PackageFile.objects.get().state

    tools("yank", "tools", short)
    assert state() == FileState.YANKED
    tools("restore", "tools", full)
    assert state() == FileState.LIVE
    assert tools.run("quarantine", "tools", full).exit_code == 2
    tools("quarantine", "tools", full, "--reason", "a report")
    assert state() == FileState.HELD
    assert tools.json("list", "tools", "--state", "held")[0]["reason"] == "a report"
    tools("release", "tools", full)
    tools("delete", "tools", full, "--yes")
    assert state() == FileState.DELETED
    tools("restore", "tools", full)
    tools("purge", "tools", full, "--reason", "a leaked key", "--yes")
    assert state() == FileState.PURGED


def test_what_attests_a_file_is_brought_and_told(tools: Hub, tmp_path: Path) -> None:
    tools("upload", "tools", tools.package("demo"))
    bundle = tmp_path / "demo.sigstore.json"
    bundle.write_text(json.dumps(make_bundle("demo-1.0-0.conda", PackageFile.objects.get().sha256)))
    assert IDENTITY in tools("attest", "tools", "demo-1.0-0.conda", str(bundle)).stdout
    assert "attestations_sha256" in json.loads(PackageFile.objects.get().record)
    bundle.write_text(json.dumps(make_bundle("demo-1.0-0.conda", "0" * 64)))
    refused = tools.run("attest", "tools", "demo-1.0-0.conda", str(bundle))
    assert refused.exit_code != 0 and "another file" in refused.stderr


def test_a_name_without_its_subdir_must_be_unmistakable(tools: Hub) -> None:
    tools("upload", "tools", tools.package("demo", subdir="linux-64"))
    tools("upload", "tools", tools.package("demo", subdir="osx-64"))
    refused = tools.run("yank", "tools", "demo-1.0-0.conda")
    assert refused.exit_code == 2 and "linux-64, osx-64" in refused.stderr
    assert tools.run("yank", "tools", "absent-1.0-0.conda").exit_code == 1


def test_files_are_copied_and_promoted(tools: Hub) -> None:
    tools("channel", "create", "stable", "--org", "acme")
    tools("upload", "tools", tools.package("demo"))
    tools("copy", "tools", "stable", "noarch/demo-1.0-0.conda")
    assert len(tools.json("list", "stable")) == len(tools.json("list", "tools", "--state", "live")) == 1
    tools("upload", "tools", tools.package("demo", "2.0"))
    tools("copy", "tools", "stable", "demo-2.0-0.conda", "--promote")
    assert len(tools.json("list", "stable")) == 2 and len(tools.json("list", "tools", "--state", "live")) == 1


def test_a_hotfix_changes_the_record(tools: Hub, tmp_path: Path) -> None:
    tools("upload", "tools", tools.package("demo"))
    fix = tmp_path / "patch_instructions.json"
    fix.write_text(json.dumps({"patch_instructions_version": 1, "packages.conda": {"demo-1.0-0.conda": {"depends": ["python >=3.11"]}}}))
    tools("hotfix", "tools", "noarch", str(fix))
    record = tools.json("api", "GET", "channels/tools/files/noarch/demo-1.0-0.conda")["record"]
    assert record["depends"] == ["python >=3.11"]
    fix.write_text("{")
    assert tools.run("hotfix", "tools", "noarch", str(fix)).exit_code == 2


def test_revisions_and_search_tell_what_there_is(tools: Hub) -> None:
    tools("upload", "tools", tools.package("demo"))
    assert [row["number"] for row in tools.json("revisions", "tools")] == [2, 1]
    assert "published by maria" in tools("revisions", "tools", "--limit", "1").stdout
    assert {(row["kind"], row["name"]) for row in tools.json("search", "demo")} == {("package", "demo")}


# -- tokens, organizations, jobs, the API ----------------------------------------------------------------------------


def test_a_token_s_secret_is_all_that_goes_to_standard_output_and_only_once(tools: Hub) -> None:
    made = tools("token", "create", "ci", "--scope", "ci", "--channel", "tools", "--expires", "90d")
    secret = made.stdout.strip()
    assert secret.startswith("chub-user-") and "\n" not in secret and secret not in made.stderr
    token = ApiToken.objects.get(name="ci")
    assert token.is_limited and token.expires_at is not None
    listed = tools("token", "list")
    assert "ci" in listed.stdout and secret not in listed.output
    rotated = tools("token", "rotate", str(token.pk), "--yes").stdout.strip()
    assert rotated.startswith("chub-user-") and rotated != secret
    number = ApiToken.objects.get(name="ci", revoked_at=None).pk
    tools("token", "revoke", str(number), "--yes")
    assert not ApiToken.objects.filter(name="ci", revoked_at=None).exists()
    assert "ci" in tools("token", "scopes").stdout and "package:upload" in tools("token", "scopes").stdout


def test_a_colleague_is_let_in_and_out(tools: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "acme" in tools("org", "list").stdout
    tools("org", "grant", "acme", "reader", "--user", "guest", "--channel", "tools")
    grants = tools.json("org", "grants", "acme")
    number = next(one["id"] for one in grants if one["user"] == "guest")
    assert "maria" in tools("org", "members", "acme").stdout
    with monkeypatch.context() as as_guest:
        as_guest.setenv("CONDAHUB_TOKEN", tools.secrets["guest"])
        assert tools.json("list", "tools") == []
    tools("org", "revoke", "acme", str(number), "--yes")
    assert all(one["user"] != "guest" for one in tools.json("org", "grants", "acme"))


def test_jobs_are_listed_shown_and_cancelled(tools: Hub) -> None:
    from condahub.accounts.models import Organization

    Job.objects.all().delete()
    acme = Organization.objects.get(name="acme")
    job = enqueue(kind="channels.settle", payload={}, organization_id=acme.pk, actor_label="maria")
    assert [row["id"] for row in tools.json("jobs", "list")] == [job.pk]
    assert "channels.settle" in tools("jobs", "list", "--state", "waiting").stdout
    assert "waiting" in tools("jobs", "show", str(job.pk), "--log").stdout
    assert "cancelled" in tools("jobs", "cancel", str(job.pk)).stdout


def test_any_path_of_the_api_can_be_asked(tools: Hub) -> None:
    assert tools.json("api", "GET", "hub")["name"]
    made = tools.json("api", "POST", "channels", "--data", '{"name": "second", "organization": "acme"}')
    assert made["name"] == "second"
    assert tools.run("api", "POST", "channels", "--data", "{").exit_code == 2


def test_lists_are_one_line_an_item_for_programs(tools: Hub) -> None:
    tools("channel", "update", "tools", "--description", "long " * 100)
    lines = tools("channel", "list").stdout.splitlines()
    assert len(lines) == 2 and lines[1].startswith("tools")


def test_control_characters_from_a_hub_do_not_reach_the_terminal(tools: Hub) -> None:
    tools("channel", "update", "tools", "--description", "red \x1b[31m alert")
    assert "\x1b" not in tools("channel", "list").stdout


def test_the_help_of_every_command_can_be_read(run: Run) -> None:
    from condahub.cli.main import _COMMANDS

    for name in _COMMANDS:
        if name != "admin":
            result = run(name, "--help")
            assert result.exit_code == 0 and "Usage:" in result.stdout, name
