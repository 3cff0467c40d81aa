"""The audit: complete, without secrets, never changed unnoticed, never in the way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from django.conf import LazySettings
from django.contrib.auth import authenticate, login, logout
from django.core.management import call_command
from django.db import DatabaseError, connection, models, transaction
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils import timezone

from condahub.accounts.models import User
from condahub.accounts.policy import HUB, SYSTEM, Actor
from condahub.accounts.secrets import generate
from condahub.audit import chain, refusals, selectors, triggers
from condahub.audit.context import RequestMeta, address_of, current_request
from condahub.audit.middleware import AuditMiddleware
from condahub.audit.models import AppendOnlyError, AuditEvent, ChainHead
from condahub.audit.services import Someone, build_event, record, record_once
from condahub.errors import Forbidden, NotAuthenticated

BOB = Someone("bob", 7)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    refusals.reset()
    # Sealing is asked for by name here, so that a test sees events before and after it.
    monkeypatch.setattr(chain, "SEAL_INTERVAL_SECONDS", 1e9)
    yield
    refusals.reset()


def some_events(number: int = 6) -> None:
    """By both roads that events come in: one by one, and many at once."""
    for count in range(number // 2):
        record(actor=BOB, action="channel.update", target=f"one-{count}", details={"before": None, "after": [1, {"ä": "ö"}]})
    record_once(
        [build_event(actor=BOB, action="token.use", target=f"many-{count}", once_key=f"k{count}") for count in range(number - number // 2)]
    )


def past_the_triggers(change: Callable[[], object]) -> None:
    """What somebody with the whole database in his hands can do."""
    triggers.remove(connection)
    try:
        change()
    finally:
        triggers.install(connection)


def raw() -> models.QuerySet[AuditEvent]:
    return models.QuerySet(AuditEvent)


def test_what_was_recorded_is_sealed_and_verified(db: None) -> None:
    some_events()
    assert chain.verify() == chain.Report(ok=True, count=0, unsealed=6)
    assert chain.seal() == 6
    report = chain.verify()
    assert (report.ok, report.count, report.unsealed) == (True, 6, 0)
    assert report.head == AuditEvent.objects.get(sequence=6).hash
    assert chain.seal() == 0
    record(actor=BOB, action="channel.delete", target="x")
    chain.seal()
    assert chain.verify().count == 7


def test_sealing_goes_on_past_one_batch(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "SEAL_BATCH_EVENTS", 4)
    some_events(10)
    assert chain.seal() == 10
    assert chain.verify().count == 10


@pytest.mark.parametrize("sequence", [1, 2, 5, 6])
@pytest.mark.parametrize(
    "forged",
    [
        {"actor_label": "eve"},
        {"details": {"x": 1}},
        {"at": timezone.now()},
        {"action": "x"},
        {"organization_id": 3},
        {"address": "::2"},
        {"once_key": "z"},
        {"hash": "0" * 64},
    ],
)
def test_a_changed_event_is_found(db: None, forged: dict[str, object], sequence: int) -> None:
    some_events()
    chain.seal()
    past_the_triggers(lambda: raw().filter(sequence=sequence).update(**forged))
    report = chain.verify()
    assert not report.ok
    assert report.first_bad == sequence
    assert report.problem


@pytest.mark.parametrize("sequence", [1, 3, 6])
def test_a_deleted_event_is_found_also_the_last_one(db: None, sequence: int) -> None:
    some_events()
    chain.seal()
    past_the_triggers(lambda: raw().filter(sequence=sequence)._raw_delete("default"))
    report = chain.verify()
    assert not report.ok
    assert report.first_bad == sequence


def test_a_rewritten_event_with_a_fitting_hash_breaks_the_next_link(db: None) -> None:
    some_events()
    chain.seal()
    event = AuditEvent.objects.get(sequence=3)
    event.actor_label = "eve"
    past_the_triggers(lambda: raw().filter(sequence=3).update(actor_label="eve", hash=chain.hash_of(event)))
    assert chain.verify().first_bad == 4


def test_an_event_slipped_in_past_the_head_is_found(db: None) -> None:
    some_events()
    chain.seal()
    event = build_event(actor=BOB, action="x.y")
    event.sequence = 7
    event.save()
    assert not chain.verify().ok


def test_the_program_can_not_change_or_delete_an_event(db: None) -> None:
    event = record(actor=BOB, action="channel.create", target="x")
    for act in (
        event.save,
        event.delete,
        lambda: AuditEvent.objects.filter(pk=event.pk).update(target="y"),
        lambda: AuditEvent.objects.all().delete(),
        lambda: AuditEvent.objects.bulk_update([event], ["target"]),
    ):
        with pytest.raises(AppendOnlyError):
            act()


@pytest.mark.parametrize("sealed", [False, True])
def test_the_database_refuses_to_change_or_delete_an_event(db: None, sealed: bool) -> None:
    record(actor=BOB, action="channel.create", target="x")
    if sealed:
        chain.seal()
    for sql in (
        "UPDATE audit_auditevent SET target = 'y'",
        "UPDATE audit_auditevent SET sequence = 5, target = 'y'",
        "UPDATE audit_auditevent SET hash = 'y'",
        "DELETE FROM audit_auditevent",
        *(["TRUNCATE audit_auditevent", "UPDATE audit_auditevent SET sequence = NULL"] if connection.vendor == "postgresql" else []),
    ):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)
    assert AuditEvent.objects.get().target == "x"


@pytest.mark.django_db(transaction=True)
def test_emptying_the_whole_database_on_purpose_still_works_and_leaves_the_triggers() -> None:
    record(actor=BOB, action="channel.create", target="x")
    call_command("flush", interactive=False, verbosity=0)
    assert not AuditEvent.objects.exists()
    record(actor=BOB, action="channel.create", target="x")
    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_auditevent")


@pytest.mark.django_db(transaction=True)
def test_an_event_is_kept_with_its_change_or_not_at_all_and_sealed_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "SEAL_INTERVAL_SECONDS", 0.0)
    with transaction.atomic():
        record(actor=BOB, action="channel.create", target="lost")
        transaction.set_rollback(True)
    with transaction.atomic():
        record(actor=BOB, action="channel.create", target="kept")
        assert chain.verify().unsealed == 1
    assert chain.verify() == chain.Report(ok=True, count=1, unsealed=0, head=ChainHead.objects.get().hash)
    assert AuditEvent.objects.get().target == "kept"


@pytest.mark.django_db(transaction=True)
def test_many_at_once_make_one_whole_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "SEAL_INTERVAL_SECONDS", 0.0)
    failures: list[DatabaseError] = []

    def work(number: int) -> None:
        try:
            for count in range(5):
                with transaction.atomic():
                    record(actor=BOB, action="channel.update", target=f"{number}-{count}")
        except DatabaseError as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    chain.seal()
    assert not failures
    assert chain.verify().count == 20
    assert chain.verify().ok


@pytest.mark.django_db(transaction=True)
def test_a_seal_that_fails_never_fails_what_was_done(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(chain, "SEAL_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(chain, "seal", lambda **kwargs: 1 / 0)
    with transaction.atomic():
        record(actor=BOB, action="channel.create", target="x")
    assert AuditEvent.objects.count() == 1


def test_no_secret_is_ever_recorded(db: None) -> None:
    token = generate("user")
    details = {
        "password": "hunter2",
        "nested": [{"X-API-Key": "hunter2", "url": f"https://hub/t/{token}/get/x", "new_token": "hunter2"}],
        "note": f"used {token}",
        "Authorization": "Basic hunter2",
        token: 1,
        "tokens_revoked": 3,
        "token": None,
    }
    event = record(actor=Someone(token), action="x.y", target=f"/t/{token}/x", details=details)
    event.refresh_from_db()
    kept = f"{event.details} {event.target} {event.actor_label}"
    assert token not in kept
    assert "hunter2" not in kept
    assert event.details["tokens_revoked"] == 3


def test_anything_can_be_recorded_and_stays_small(db: None) -> None:
    deep: list[object] = []
    for _ in range(50):
        deep = [deep]
    event = record(
        actor=Someone("a\nb"),
        action="x.y",
        target="line\nbreak\x00" + "x" * 9000,
        details={
            "deep": deep,
            "set": {3, 1},
            "nan": float("nan"),
            "nul": "\x00\ud800",
            "long": "y" * 10**6,
            "many": list(range(10**5)),
            "at": timezone.now(),
        },
    )
    chain.seal()
    event.refresh_from_db()
    assert chain.verify().ok
    assert len(event.target) == 500
    assert "\n" not in event.target + event.actor_label
    assert len(str(event.details)) < 10_000


def test_sign_ins_and_failed_ones_are_recorded_without_the_password(db: None) -> None:
    user = User.objects.create_user("maria", password="hunter2 hunter2")
    request = RequestFactory().post("/")
    from django.contrib.sessions.backends.db import SessionStore

    request.session = SessionStore()
    assert authenticate(request, username="maria", password="wrong hunter2") is None
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.user = user
    logout(request)
    events = AuditEvent.objects.order_by("pk")
    assert [(event.action, event.actor_label) for event in events] == [
        ("session.sign_in_failed", "anonymous"),
        ("session.sign_in", "maria"),
        ("session.sign_out", "maria"),
    ]
    assert events[0].target == "maria"
    assert "hunter2" not in str([event.details for event in events])


def answer(status: int, actor: Actor | None = None) -> AuditMiddleware:
    def view(request: object) -> HttpResponse:
        if actor is not None:
            request.actor = actor  # type: ignore[attr-defined]
        return HttpResponse(status=status)

    return AuditMiddleware(view)  # type: ignore[arg-type]


def test_refusals_are_recorded_once_a_minute_with_how_many_there_were(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    user = User.objects.create(username="maria")
    refuse = answer(403, Actor.of(user))
    for _ in range(5):
        refuse(RequestFactory().get("/channels/secret/repodata.json", REMOTE_ADDR="10.0.0.9"))
    event = AuditEvent.objects.get()
    assert (event.action, event.actor_label, event.actor_id, event.target, event.address) == (
        "access.refused",
        "maria",
        user.pk,
        "/channels/secret/repodata.json",
        "10.0.0.9",
    )
    assert event.request_id
    monkeypatch.setattr(refusals, "REFUSAL_WINDOW_SECONDS", 0.0)
    refuse(RequestFactory().get("/x", REMOTE_ADDR="10.0.0.9"))
    assert AuditEvent.objects.latest("pk").details["more_since_last"] == 4


def test_being_asked_for_credentials_is_no_refusal_but_a_wrong_token_is(db: None) -> None:
    answer(401)(RequestFactory().get("/x"))
    assert not AuditEvent.objects.exists()
    answer(401)(RequestFactory().get("/x", headers={"x-api-key": generate("user")}))
    assert AuditEvent.objects.get().actor_label == "anonymous"


def test_a_request_has_an_id_which_the_answer_names_and_nothing_outlives_it(db: None) -> None:
    seen: list[RequestMeta] = []

    def view(request: object) -> HttpResponse:
        seen.append(current_request())
        return HttpResponse()

    middleware = AuditMiddleware(view)  # type: ignore[arg-type]
    response = middleware(RequestFactory().get("/", headers={"x-request-id": "trace-12345678"}))
    assert response.headers["X-Request-ID"] == seen[0].request_id == "trace-12345678"
    middleware(RequestFactory().get("/", headers={"x-request-id": "a b\nforged"}))
    assert len(seen[1].request_id) == 32
    assert current_request() == RequestMeta()


def test_a_forwarded_address_counts_only_behind_our_own_proxy_and_only_its_entry(settings: LazySettings) -> None:
    meta = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "6.6.6.6, 192.0.2.7"}
    assert address_of(meta) == "10.0.0.1"
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert address_of(meta) == "192.0.2.7"
    assert address_of({**meta, "HTTP_X_FORWARDED_FOR": "'; DROP TABLE"}) == ""
    assert address_of({}) == ""


def test_the_audit_is_read_by_staff_and_auditors_an_organizations_part_by_its_owners(db: None) -> None:
    from condahub.accounts import services

    staff = User.objects.create(username="it", is_staff=True)
    auditor = User.objects.create(username="aud", is_auditor=True)
    owner, outsider = User.objects.create(username="olga"), User.objects.create(username="otto")
    acme = services.create_organization(actor=Actor.of(staff), name="acme", owner=owner)
    record(actor=SYSTEM, action="hub.start")
    for user in (staff, auditor):
        assert selectors.all_events(Actor.of(user)).filter(action="hub.start").exists()
    assert [event.action for event in selectors.events_of(Actor.of(owner), acme)] == ["organization.create"]
    with pytest.raises(Forbidden):
        selectors.all_events(Actor.of(owner))
    with pytest.raises(Forbidden):
        selectors.events_of(Actor.of(outsider), acme)
    with pytest.raises(NotAuthenticated):
        selectors.events_of(Actor.anonymous(), HUB)
