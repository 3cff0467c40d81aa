"""What environments count against an organization's quota, and the bars that show it."""

from __future__ import annotations

import pytest
from django.utils import timezone

from condahub.accounts import quota
from condahub.accounts.policy import Actor
from condahub.accounts.services import create_organization
from condahub.portal import registry
from environments_app.models import ArtifactKind, ArtifactState, Build, BuildArtifact
from tests.api.conftest import World
from tests.environments_app.building import Submit, add_wheel, finish

pytestmark = pytest.mark.django_db


def test_a_bar_shows_what_the_quota_counts_folders_once_artifacts_and_wheels(world: World, submit: Submit) -> None:
    other = create_organization(actor=Actor.of(world.people["admin"]), name="other-one")
    before = registry.used_bytes([world.acme.pk])[world.acme.pk]
    one, two, gone = (finish(submit(), size=1000) for _ in range(3))
    Build.objects.filter(pk__in=[one.pk, two.pk]).update(prefix=one.key)
    Build.objects.filter(pk=gone.pk).update(archived_at=timezone.now())
    kept = {"kind": ArtifactKind.ARCHIVE, "platform": "linux-64", "state": ArtifactState.READY, "sha256": "0" * 64}
    BuildArtifact.objects.create(build=two, size=200, **kept)
    add_wheel(world, one, b"wheel")
    counted = quota.usage_by_kind(world.acme)
    assert (counted["environments"], counted["wheels"]) == (1200, 5)
    shown = registry.used_bytes([world.acme.pk, other.pk])
    assert (shown[world.acme.pk] - before, shown[other.pk]) == (1205, 0)
