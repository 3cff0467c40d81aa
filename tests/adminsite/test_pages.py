"""Every list and every object's page opens for staff and auditors, in a bounded number of queries, and for nobody else."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from channels_app.models import PackageFile
from condahub.accounts.policy import SYSTEM
from condahub.audit.services import record
from tests.api.conftest import World

pytestmark = pytest.mark.django_db

# Session, user, count, rows, date hierarchy and filters by a related object; never one a row.
MOST_QUERIES = 14
OWN_PAGES = ("index", "schedules", "checks", "maintenance", "collect")


def models() -> list[type[Model]]:
    return sorted(admin.site._registry, key=lambda model: model._meta.label)


def path_of(model: type[Model], page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


# What other lists show, what nobody looks at row by row, and what holds secrets alone.
NO_LIST = {
    "account.EmailConfirmation",
    "accounts.Remembered",
    "accounts.TokenLimit",
    "admin.LogEntry",
    "audit.ChainHead",
    "audit.Forwarded",
    "audit.Released",
    "auth.Group",
    "auth.Permission",
    "channels.Blob",
    "channels.DirtyName",
    "channels.DownloadCount",
    "channels.DueName",
    "channels.FormerName",
    "channels.PackageNeed",
    "channels.Shard",
    "channels.UnsettledName",
    "channels.VirtualChannel",
    "channels.VirtualRevision",
    "contenttypes.ContentType",
    "django_celery_beat.ClockedSchedule",
    "django_celery_beat.CrontabSchedule",
    "django_celery_beat.IntervalSchedule",
    "django_celery_beat.PeriodicTasks",
    "django_celery_beat.SolarSchedule",
    "environments.BuildChannel",
    "environments.BuildMember",
    "events.InboxItem",
    "events.SubscribedType",
    "jobs.JobLog",
    "maintenance.SiteNotice",
    "mirrors.BundleHead",
    "mirrors.BundlePart",
    "mirrors.BundlePiece",
    "mirrors.BundleStream",
    "mirrors.BundleVerified",
    "mirrors.Demand",
    "mirrors.Location",
    "mirrors.MirrorSubdir",
    "mirrors.MirroredFile",
    "mirrors.RegisteredMirror",
    "mirrors.WantedSidecar",
    "sessions.Session",
    "socialaccount.SocialToken",
}


def test_every_model_has_a_list_or_is_a_part_of_another() -> None:
    without = {model._meta.label for model in apps.get_models() if model not in admin.site._registry}
    assert without == NO_LIST


def test_every_list_can_be_searched() -> None:
    assert [model for model, shown in admin.site._registry.items() if not shown.search_fields] == []


def test_every_list_and_every_object_opens_for_staff_and_auditors(world: World, staff: Client, auditor: Client) -> None:
    for model in models():
        first = model._default_manager.order_by("pk").first()
        assert staff.get(path_of(model, "changelist"), {"q": "a"}).status_code == 200, model
        for who in (staff, auditor):
            with CaptureQueriesContext(connection) as captured:
                response = who.get(path_of(model, "changelist"))
            assert response.status_code == 200, (model, response.status_code)
            listing = "\n".join(query["sql"][:200] for query in captured.captured_queries)
            assert len(captured) <= MOST_QUERIES, (model, len(captured), listing)
            if first is not None:
                assert who.get(path_of(model, "change", first.pk)).status_code == 200, model


def test_an_auditor_has_no_button(world: World, staff: Client, auditor: Client) -> None:
    for model in models():
        page = auditor.get(path_of(model, "changelist")).content.decode()
        assert 'name="action"' not in page, model
        assert auditor.get(path_of(model, "add")).status_code == 403, model
    for name in ("checks", "maintenance", "collect"):
        page = auditor.get(reverse(f"admin:{name}")).content.decode()
        assert "hub-button" not in page, name
        assert auditor.post(reverse(f"admin:{name}")).status_code == 403, name
    assert 'name="action"' in staff.get(reverse("admin:channels_channel_changelist")).content.decode()


def test_nobody_else_gets_in(world: World, outsider: Client) -> None:
    paths = [reverse(f"admin:{name}") for name in OWN_PAGES]
    paths += [path_of(model, page) for model in models() for page in ("changelist", "export")]
    for path in paths:
        for who in (outsider, Client()):
            response = who.get(path)
            assert response.status_code == 302, path
            assert response.headers["Location"].startswith("/admin/login/"), path


def test_a_list_takes_as_many_queries_for_many_rows_as_for_one(world: World, staff: Client) -> None:
    counts = []
    for number in range(2):
        with CaptureQueriesContext(connection) as captured:
            assert staff.get(reverse("admin:channels_packagefile_changelist")).status_code == 200
        counts.append(len(captured))
        for more in range(4):
            world.push(world.inner, name=f"more{number}{more}", version="1.0")
    assert counts[0] == counts[1]


def test_the_admins_own_pages_open(world: World, staff: Client, auditor: Client) -> None:
    for name in OWN_PAGES:
        for who in (staff, auditor):
            response = who.get(reverse(f"admin:{name}"))
            assert response.status_code == 200, (name, response.content[-500:])
            assert "could not be read" not in response.content.decode()


def test_the_dashboard_is_made_once_in_a_while(world: World, staff: Client) -> None:
    first = staff.get(reverse("admin:index")).content.decode()
    for word in ("Store", "Workers and queue", "Failed jobs", "Storage by channel", "inner", "acme", "Versions", "doctor"):
        assert word in first
    with CaptureQueriesContext(connection) as captured:
        assert staff.get(reverse("admin:index")).status_code == 200
    assert len(captured) <= 4, [query["sql"][:120] for query in captured.captured_queries]


def test_the_admin_has_a_policy_of_its_own(world: World, staff: Client) -> None:
    policy = staff.get(reverse("admin:channels_channel_changelist")).headers["Content-Security-Policy"]
    scripts = next(part for part in policy.split(";") if part.strip().startswith("script-src "))
    assert "http://testserver/static/" in scripts
    assert "'unsafe-inline'" not in scripts
    assert "'self'" not in scripts
    page = staff.get("/ui/")
    assert "unsafe" not in page.headers["Content-Security-Policy"]


def test_an_export_holds_the_filtered_rows(world: World, auditor: Client) -> None:
    path = reverse("admin:channels_channel_export")
    text = b"".join(auditor.get(path, {"q": "inner", "format": "csv"})).decode()
    assert "inner" in text
    assert "outer" not in text
    lines = b"".join(auditor.get(path, {"format": "json"})).decode().splitlines()
    assert len(lines) == 2


def test_files_are_found_by_name_by_filename_and_by_hash(world: World, staff: Client) -> None:
    path = reverse("admin:channels_packagefile_changelist")
    found = PackageFile.objects.get(filename="inside-1.0-0.conda")
    for term, shown in (
        ("inside", {"1.0", "2.0"}),
        (found.filename, {"1.0"}),
        (found.sha256, {"1.0"}),
        ("0" * 64, set()),
        ("nothing", set()),
    ):
        page = staff.get(path, {"q": term}).content.decode()
        assert {version for version in ("1.0", "2.0") if f">inside-{version}-0.conda<" in page} == shown, term


def test_the_audits_list_says_from_when_on_it_is_whole(world: World, auditor: Client) -> None:
    path = reverse("admin:audit_auditevent_changelist")
    assert "are in 1 file" not in auditor.get(path).content.decode()
    record(actor=SYSTEM, action="audit.released", target="x.jsonl.gz", details={"last": 60, "until": "2026-03-01T10:00:00+00:00"})
    page = auditor.get(path).content.decode()
    assert "up to number 60, of 2026-03-01, are in 1 file (" in page
    assert "x.jsonl.gz" in auditor.get(path, {"q": "audit.released"}).content.decode()
