"""Old events go into files that prove themselves; what stays proves itself too, and nothing else can be deleted."""

from __future__ import annotations

import gzip
import itertools
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import time_machine
from click.testing import CliRunner
from django.conf import LazySettings
from django.db import DatabaseError, connection, models, transaction

from channels_app import readers
from condahub.accounts import access
from condahub.audit import archive, chain, releasing, triggers
from condahub.audit.cli import audit
from condahub.audit.models import KEPT_ACTIONS, AuditEvent, Forwarded, Released
from condahub.audit.services import Someone, record
from condahub.errors import Conflict, HubError, Unavailable

pytestmark = pytest.mark.django_db

THEN, NOW = datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def folder(settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.CONDAHUB_AUDIT_DAYS = 90
    settings.CONDAHUB_AUDIT_DIR = tmp_path / "audit"
    # Sealing is asked for by name here.
    monkeypatch.setattr(chain, "SEAL_INTERVAL_SECONDS", 1e9)
    return tmp_path / "audit"


def happened(at: datetime, *actions: str) -> None:
    with time_machine.travel(at, tick=False):
        for action in actions:
            record(actor=Someone("bob", 7), action=action, target="acme:x", details={"ä": [1, None, {"b": "\u2028"}]})
    chain.seal()


def released_now() -> tuple[int, list[str]]:
    with time_machine.travel(NOW, tick=False):
        found = releasing.release()
    chain.seal()
    return found


def old_and_new() -> None:
    """Numbers 1 to 6 are old, one of which stays; 7 is new."""
    happened(THEN, *["token.use"] * 3, "grant.give", *["token.use"] * 2)
    happened(NOW, "token.use")


def sql(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_old_events_go_into_a_file_and_both_prove_themselves(folder: Path) -> None:
    old_and_new()
    sixth = AuditEvent.objects.get(sequence=6)
    assert released_now() == (6, [archive.name_of(1, 6)])
    # 4 is one that past moments are read from; 8 tells of the release.
    assert list(AuditEvent.objects.order_by("sequence").values_list("sequence", flat=True)) == [4, 7, 8]
    told = AuditEvent.objects.get(sequence=8)
    assert (told.action, told.target) == ("audit.released", archive.name_of(1, 6))
    assert {key: told.details[key] for key in ("count", "first", "last", "kept", "hash")} == {
        "count": 6, "first": 1, "last": 6, "kept": 1, "hash": sixth.hash,
    }  # fmt: skip
    report = chain.verify()
    assert (report.ok, report.count, report.released) == (True, 2, 6)
    place = folder / archive.name_of(1, 6)
    assert place.stat().st_mode & 0o777 == 0o600 and [one.name for one in folder.iterdir()] == [place.name]
    assert archive.prove([place]) == [archive.Proof(place, 1, 6, 6, "", known=True)]
    assert released_now() == (0, [])


def test_the_next_files_go_on_where_the_last_one_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releasing, "FILE_EVENTS", 2)
    old_and_new()
    count, files = released_now()
    assert (count, files) == (6, [archive.name_of(1, 2), archive.name_of(3, 4), archive.name_of(5, 6)])
    assert chain.verify().ok
    places = [folder / name for name in files]
    assert not any(one.problem for one in archive.prove(places))
    assert "number 3 is in none" in archive.prove([places[0], places[2]])[1].problem


def test_without_the_setting_and_what_the_syslog_server_was_not_given_stays(settings: LazySettings) -> None:
    old_and_new()
    settings.CONDAHUB_AUDIT_DAYS = 0
    assert released_now() == (0, [])
    settings.CONDAHUB_AUDIT_DAYS = 90
    settings.CONDAHUB_AUDIT_SYSLOG = "tcp://127.0.0.1:1"
    assert released_now() == (0, [])
    Forwarded.objects.create(pk=1, sequence=2)
    assert released_now() == (2, [archive.name_of(1, 2)])


def test_events_that_all_stay_make_no_file() -> None:
    happened(THEN, "grant.give", "team.create")
    assert released_now() == (0, [])


@pytest.mark.parametrize("sequence", [2, 7])
def test_a_broken_chain_releases_nothing(folder: Path, sequence: int) -> None:
    old_and_new()
    triggers.remove(connection)
    models.QuerySet(AuditEvent).filter(sequence=sequence).update(actor_label="eve")
    triggers.install(connection)
    with pytest.raises(HubError) as failed:
        released_now()
    assert failed.value.code == "audit_broken"
    assert AuditEvent.objects.count() == 7 and not folder.exists()


def test_a_run_killed_between_file_and_transaction_ends_right_at_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_and_new()

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(releasing, "_let_go", killed)
        with pytest.raises(KeyboardInterrupt):
            released_now()
    written = (folder / archive.name_of(1, 6)).read_bytes()
    assert AuditEvent.objects.count() == 7 and chain.verify().released == 0
    # More became old meanwhile: the file that lies there is finished first, with the same bytes.
    happened(THEN, "token.use")
    assert released_now()[1][0] == archive.name_of(1, 6)
    assert (folder / archive.name_of(1, 6)).read_bytes() == written
    assert chain.verify().ok


def test_a_file_that_says_something_else_is_never_replaced(folder: Path) -> None:
    old_and_new()
    folder.mkdir()
    place = folder / archive.name_of(1, 6)
    place.write_bytes(gzip.compress(b"{}\n"))
    with pytest.raises(Conflict):
        released_now()
    assert gzip.decompress(place.read_bytes()) == b"{}\n" and AuditEvent.objects.count() == 7


def test_a_folder_that_takes_no_file_deletes_nothing(folder: Path) -> None:
    old_and_new()
    folder.write_text("no folder")
    with pytest.raises(Unavailable):
        released_now()
    assert AuditEvent.objects.count() == 7


def test_who_released_meanwhile_wins_and_nothing_goes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    old_and_new()
    write, calls = releasing._write, itertools.count()

    def write_and_be_overtaken(start: Released, cutoff: datetime) -> object:
        written = write(start, cutoff)
        if next(calls) == 0:
            released_now()
        return written

    monkeypatch.setattr(releasing, "_write", write_and_be_overtaken)
    with pytest.raises(Conflict):
        released_now()
    assert chain.verify().ok and AuditEvent.objects.filter(action="audit.released").count() == 1


def test_the_database_refuses_to_delete_what_was_not_released_and_to_move_the_mark_back(folder: Path) -> None:
    old_and_new()
    for statement in (
        "DELETE FROM audit_auditevent WHERE sequence = 1",
        "INSERT INTO audit_released (id, sequence, hash) VALUES (1, 5, '')",
    ):
        with pytest.raises(DatabaseError, match="append-only"):
            sql(statement)
    released_now()
    happened(NOW, "token.use")
    for statement in (
        "DELETE FROM audit_auditevent WHERE sequence = 7",
        "DELETE FROM audit_auditevent WHERE sequence = 4",
        "UPDATE audit_released SET sequence = 0, hash = ''",
        "UPDATE audit_released SET sequence = 7",
        "UPDATE audit_released SET sequence = 99",
        "UPDATE audit_released SET sequence = NULL",
        "UPDATE audit_released SET hash = 'x'",
        "UPDATE audit_released SET id = 2",
        "INSERT INTO audit_released (id, sequence, hash) VALUES (2, 0, '')",
        "DELETE FROM audit_released",
        *(
            ["TRUNCATE audit_released"]
            if connection.vendor == "postgresql"
            else ["INSERT OR REPLACE INTO audit_released (id, sequence, hash) VALUES (1, 0, '')"]
        ),
    ):
        with pytest.raises(DatabaseError):
            sql(statement)
    assert Released.objects.get().sequence == 6 and chain.verify().ok


def test_a_beginning_that_somebody_made_go_by_hand_is_found() -> None:
    old_and_new()
    released_now()
    seventh = AuditEvent.objects.get(sequence=7)
    sql(f"UPDATE audit_released SET sequence = 7, hash = '{seventh.hash}'")
    sql("DELETE FROM audit_auditevent WHERE sequence = 7")
    report = chain.verify()
    assert not report.ok and "no event says" in report.problem


@pytest.mark.parametrize("forged", [True, False])
def test_an_event_that_stayed_and_was_changed_or_taken_is_found(forged: bool) -> None:
    old_and_new()
    released_now()
    triggers.remove(connection)
    stayed = AuditEvent.objects.get(sequence=4)
    stayed.actor_label = "eve"
    if forged:
        models.QuerySet(AuditEvent).filter(sequence=4).update(actor_label="eve", hash=chain.hash_of(stayed))
    else:
        models.QuerySet(AuditEvent).filter(sequence=4)._raw_delete("default")
    triggers.install(connection)
    assert not chain.verify().ok


def test_a_flipped_byte_and_a_rewritten_line_of_a_file_are_found(folder: Path) -> None:
    old_and_new()
    released_now()
    place = folder / archive.name_of(1, 6)
    whole = place.read_bytes()
    prove = CliRunner().invoke
    assert prove(audit, ["verify", str(place)]).exit_code == 0
    for at in (20, len(whole) // 2, len(whole) - 6):
        place.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert archive.prove([place])[0].problem
    lines = gzip.decompress(whole).splitlines()
    third = json.loads(lines[2])
    lines[2] = json.dumps({**third, "actor_label": "eve"}).encode()
    elsewhere = folder / "copy"
    elsewhere.write_bytes(gzip.compress(b"\n".join(lines)))
    assert archive.prove([elsewhere])[0].problem == "Event number 3 was changed."
    told = prove(audit, ["verify", str(elsewhere), "--json"])
    assert told.exit_code == 1 and json.loads(told.stdout)[0]["ok"] is False


def test_what_past_moments_are_read_from_stays() -> None:
    read = {"organization.create", *access.GRANTS, *access.TEAMS, *access.ACCOUNTS, *readers.CHANGES, "channel.change_owner"}
    assert read <= set(KEPT_ACTIONS)
