"""A bucket that only its keys open is an upstream like any other, whole and on demand."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import boto3
import moto.settings
import pytest
from moto.server import ThreadedMotoServer

from channels_app.models import PackageFile
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.jobs.runner import drain
from mirrors_app.lazy.source import SOURCE
from mirrors_app.models import Mirror, SyncRun, Upstream
from mirrors_app.services import runs
from mirrors_app.services.mirrors import UpstreamSpec, create_mirror, update_mirror
from tests.channels_app.doors_of import ask
from tests.mirrors_app.core.upstream_server import Channel
from tests.mirrors_app.world import SUBDIRS, downloadable, expected, run, shown

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("hub")]
REGION = "eu-central-1"
EVERYTHING = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'


@pytest.fixture
def bucket(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The upstream's folder in a bucket of an S3 server that verifies each signature; what a person tells the mirror of it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        options: dict[str, Any] = {
            "endpoint_url": endpoint,
            "region_name": REGION,
            "aws_access_key_id": "first",
            "aws_secret_access_key": "first",
        }
        iam, s3 = boto3.client("iam", **options), boto3.client("s3", **options)
        # All servers of a process share what they hold.
        name = f"mirror-{secrets.token_hex(6)}"
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=EVERYTHING)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        for path in sorted(channel.folder.rglob("*")):
            if path.is_file():
                s3.put_object(Bucket=name, Key=f"conda/{path.relative_to(channel.folder)}", Body=path.read_bytes())
        monkeypatch.setattr(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
        keys = {"username": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
        yield {"url": f"s3://{name}/conda", "credential_kind": "s3", "endpoint": endpoint, "region": REGION, **keys}
    finally:
        monkeypatch.undo()
        server.stop()


def make(staff: Actor, organization: Organization, bucket: dict[str, str], **settings: Any) -> Mirror:
    upstream = UpstreamSpec(**bucket)
    visibility = settings.pop("visibility", "private")
    return create_mirror(
        actor=staff,
        organization=organization,
        name="bucket",
        upstreams=[upstream],
        settings={"subdirs": SUBDIRS, **settings},
        visibility=visibility,
    )


def test_a_bucket_is_mirrored_with_keys_that_are_sealed(
    staff: Actor, organization: Organization, channel: Channel, bucket: dict[str, str]
) -> None:
    mirror = make(staff, organization, bucket)
    entry = run(staff, mirror)
    assert (entry.state, entry.added, entry.files) == ("ok", 4, 4), entry.reason
    assert shown(mirror) == expected(channel.records["linux-64"])
    for filename, record in channel.records["linux-64"].items():
        assert downloadable(mirror, filename) == record["sha256"]
    kept = Upstream.objects.get()
    assert kept.sealed_secret and bucket["secret"] not in kept.sealed_secret
    assert bucket["secret"] not in str(SyncRun.objects.values())
    assert run(staff, mirror).state == "ok"


def test_other_keys_are_refused_and_say_so(staff: Actor, organization: Organization, bucket: dict[str, str]) -> None:
    mirror = make(staff, organization, {**bucket, "secret": "wrong"})
    entry = run(staff, mirror)
    assert entry.state == "failed" and "credentials" in entry.hint, entry.reason
    assert not PackageFile.objects.exists()
    update_mirror(actor=staff, mirror=mirror, upstreams=[UpstreamSpec(**bucket)])
    assert run(staff, Mirror.objects.get()).state == "ok"
    # Without a secret the one that is kept goes on for the same bucket.
    same = {key: value for key, value in bucket.items() if key != "secret"}
    update_mirror(actor=staff, mirror=mirror, upstreams=[UpstreamSpec(**same)])
    assert run(staff, Mirror.objects.get()).state == "ok"


def test_a_bucket_is_given_out_on_demand(staff: Actor, organization: Organization, channel: Channel, bucket: dict[str, str]) -> None:
    mirror = make(staff, organization, bucket, mode="lazy", visibility="public")
    runs.enqueue_refresh(mirror)
    drain("heavy")
    SOURCE.forget_all()
    try:
        reply = ask("/channels/bucket/linux-64/base-1.0-0.conda", data=True)
        assert reply.status == 200, reply.body
        assert reply.body == (channel.folder / "linux-64/base-1.0-0.conda").read_bytes()
    finally:
        SOURCE.fetching.stop()
