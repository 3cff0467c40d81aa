"""What attests an upstream's packages comes with them, checked, and opens what asks for it."""

from __future__ import annotations

import hashlib
import json

import pytest

from channels_app.models import Attestation, PackageFile
from channels_app.services.policies import set_policy
from channels_app.services.scopes import Scope
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.jobs.runner import drain
from mirrors_app.models import Mirror, MirrorRefusal, WantedSidecar
from mirrors_app.services import runs
from tests.attested import make_bundle
from tests.mirrors_app.core.faults import Status, named
from tests.mirrors_app.core.upstream_server import Channel as Upstream
from tests.mirrors_app.core.upstream_server import UpstreamServer
from tests.mirrors_app.world import make_mirror, run, shown

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("hub")]

FILENAME = "tool-1.0-0.conda"


def attest(channel: Upstream, filename: str = FILENAME, *, of: str = "", beside: bool = False) -> str:
    """Give a package of the upstream its sidecar, whose sha256 its record names (beside: which lies there unnamed)."""
    record = channel.records["linux-64"][filename]
    content = json.dumps([make_bundle(of or filename, record["sha256"])]).encode()
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"{filename}.v0.sigs" if beside else f"{filename}.sigs.{sha256}"
    (channel.folder / "linux-64" / name).write_bytes(content)
    if not beside:
        record["attestations_sha256"] = sha256
        channel.write()
    return sha256


def require(staff: Actor, mirror: Mirror) -> None:
    set_policy(actor=staff, scope=Scope.of_channel(mirror.channel), rules={"attestation": {}})


@pytest.mark.parametrize("form", ["shards", "zst"])
def test_what_the_index_names_comes_and_opens_what_asks_for_it(
    staff: Actor, organization: Organization, channel: Upstream, server: UpstreamServer, form: str
) -> None:
    channel.forms = {form}
    (channel.folder / "linux-64" / "repodata.json").unlink()
    sha256 = attest(channel)
    mirror = make_mirror(staff, organization, server.url)
    require(staff, mirror)
    entry = run(staff, mirror)
    assert (entry.state, entry.report["attested"]) == ("ok", 1), entry.report
    assert set(shown(mirror)) == {FILENAME}
    assert shown(mirror)[FILENAME]["attestations_sha256"] == sha256
    kept = Attestation.objects.get()
    assert hashlib.sha256(bytes(kept.sidecar)).hexdigest() == sha256 and kept.signers
    # A hotfix upstream leaves it named; another sidecar takes its place; nothing is asked for twice.
    channel.records["linux-64"][FILENAME]["depends"] = ["base >=1,<9"]
    channel.write()
    server.requests.clear()
    assert run(staff, mirror).changed == 1
    assert shown(mirror)[FILENAME]["attestations_sha256"] == sha256
    assert not [path for path in server.requests if ".sigs" in path]
    content = json.dumps([make_bundle(FILENAME, channel.records["linux-64"][FILENAME]["sha256"], identity="mailto:b@example.org")]).encode()
    later = hashlib.sha256(content).hexdigest()
    (channel.folder / "linux-64" / f"{FILENAME}.sigs.{later}").write_bytes(content)
    channel.records["linux-64"][FILENAME]["attestations_sha256"] = later
    channel.write()
    assert run(staff, mirror).report["attested"] == 1
    assert shown(mirror)[FILENAME]["attestations_sha256"] == later
    assert not WantedSidecar.objects.exclude(sha256="").exists()


def test_one_that_is_of_another_file_is_told_and_not_named(
    staff: Actor, organization: Organization, channel: Upstream, server: UpstreamServer
) -> None:
    attest(channel, of="other-1.0-0.conda")
    mirror = make_mirror(staff, organization, server.url)
    for _ in range(2):
        entry = run(staff, mirror)
        assert (entry.state, entry.refused) == ("partial", 1)
        assert "speaks of another file" in MirrorRefusal.objects.get(mirror=mirror).reason
    assert "attestations_sha256" not in shown(mirror)[FILENAME]
    # Asked for once; again after a day.
    assert sum(count for path, count in server.requests.items() if ".sigs." in path) == 1


def test_one_that_could_not_be_had_is_asked_for_by_the_next_run(
    staff: Actor, organization: Organization, channel: Upstream, server: UpstreamServer
) -> None:
    sha256 = attest(channel)
    mirror = make_mirror(staff, organization, server.url)
    server.faults.append(Status(503, named(f"{FILENAME}.sigs."), times=0))
    assert run(staff, mirror).state == "partial"
    assert FILENAME in shown(mirror)
    server.faults.clear()
    assert run(staff, mirror).state == "ok"
    assert shown(mirror)[FILENAME]["attestations_sha256"] == sha256


def test_where_a_rule_asks_what_lies_beside_the_package_is_looked_for(
    staff: Actor, organization: Organization, channel: Upstream, server: UpstreamServer
) -> None:
    sha256 = attest(channel, beside=True)
    mirror = make_mirror(staff, organization, server.url)
    run(staff, mirror)
    assert not [path for path in server.requests if path.endswith(".v0.sigs")]
    require(staff, mirror)
    drain("quick")
    assert run(staff, mirror).state == "ok"
    assert {name: one.get("attestations_sha256") for name, one in shown(mirror).items()} == {FILENAME: sha256}
    server.requests.clear()
    run(staff, mirror)
    assert not [path for path in server.requests if path.endswith(".v0.sigs")]


def test_a_lazy_mirror_brings_them_where_a_rule_asks(
    staff: Actor, organization: Organization, channel: Upstream, server: UpstreamServer
) -> None:
    sha256 = attest(channel)
    mirror = make_mirror(staff, organization, server.url, mode="lazy")

    def refresh() -> None:
        runs.enqueue_refresh(mirror)
        drain("heavy")
        drain("quick")

    refresh()
    assert "attestations_sha256" not in shown(mirror)[FILENAME]
    assert not [path for path in server.requests if ".sigs" in path]
    require(staff, mirror)
    drain("quick")
    refresh()
    assert {name: one.get("attestations_sha256") for name, one in shown(mirror).items()} == {FILENAME: sha256}
    assert PackageFile.objects.filter(filename=FILENAME, blob=None).exists()
