"""Two channels as two sides of an air gap, a key that one signs with and the other trusts, and the shortest ways across."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from channels_app import doors
from channels_app.index import answers, maps
from channels_app.models import Channel
from channels_app.services.channels import create_channel
from channels_app.services.publish import Published
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from condahub.packages.maker import make_package
from condahub.storage.blobs import blobs, initialise
from mirrors_app.bundles import exporting, importing, rechecking, signing
from mirrors_app.bundles.core.layout import MIN_PART_BYTES
from mirrors_app.models import BundleExport, BundleImport
from tests.channels_app.conftest import push_file

Exporter = Callable[..., Path]
Importer = Callable[..., BundleImport]


@pytest.fixture(autouse=True)
def _fresh(request: pytest.FixtureRequest) -> None:
    if "db" in request.fixturenames:
        initialise()
        doors.forget_all()
        maps.forget_all()
        answers.forget_all()
        rechecking.forget_all()


class Operator(Actor):
    """Somebody at the hub's own shell."""

    @property
    def label(self) -> str:
        return "shell:tests"


@pytest.fixture
def staff(db: None) -> Actor:
    return Actor.of(User.objects.create(username="it", is_staff=True, is_superuser=True))


@pytest.fixture
def outside(staff: Actor) -> Channel:
    organization = Organization.objects.create(name="outside")
    return create_channel(actor=staff, organization=organization, name="tools", visibility="public")


@pytest.fixture
def inside(staff: Actor) -> Channel:
    organization = Organization.objects.create(name="inside")
    return create_channel(actor=staff, organization=organization, name="inner", visibility="public")


@pytest.fixture
def key(staff: Actor) -> str:
    """The public key that signs outside, trusted inside."""
    made = signing.create_key(actor=staff, name="outside 2026")
    signing.trust(actor=staff, name="outside 2026", public=made.public)
    return made.public


@pytest.fixture
def push(staff: Actor, outside: Channel, tmp_path: Path) -> Callable[..., Published]:
    """`push(name=..., version=...)` makes a package and publishes it outside."""

    def run(channel: Channel | None = None, *, force: bool = False, **about: Any) -> Published:
        return push_file(staff, channel or outside, make_package(tmp_path, **about), force=force)

    return run


@pytest.fixture
def carry_out(staff: Actor, outside: Channel, key: str, tmp_path: Path) -> Exporter:
    """`carry_out(since=...)` exports and writes the bundle into a new folder."""

    def run(channel: Channel | None = None, **asked: Any) -> Path:
        asked.setdefault("part_bytes", MIN_PART_BYTES)
        ordered = exporting.order_export(actor=staff, channel=channel or outside, **asked)
        made = exporting.run_export(BundleExport.objects.select_related("channel__organization", "stream", "key").get(pk=ordered.pk))
        folder = tmp_path / f"bundle-{made.pk}"
        write_out(made, folder)
        return folder

    return run


def write_out(made: BundleExport, folder: Path) -> None:
    folder.mkdir()
    store = blobs("bundles")
    (folder / "manifest.json").write_bytes(store.read_bytes(made.manifest_sha256))
    (folder / "manifest.sig").write_bytes(bytes.fromhex(made.signature))
    for part in made.parts.all():
        (folder / f"part-{part.number:04d}.tar").write_bytes(store.read_bytes(part.sha256))


@pytest.fixture
def carry_in(staff: Actor, inside: Channel) -> Importer:
    """`carry_in(folder)` imports it there and then."""

    def run(folder: Path, channel: Channel | None = None, **options: Any) -> BundleImport:
        shell = Operator(system=True, via="shell")
        taken = importing.begin_import(
            actor=shell, channel=Channel.objects.get(pk=(channel or inside).pk), folder=str(folder), options=options
        )
        return importing.run_import(BundleImport.objects.select_related("channel__organization").get(pk=taken.pk))

    return run
