"""The database's own refusal to change or delete audit events, for SQLite and PostgreSQL.

Only what was released into files may be deleted, and of that not the actions that past moments are read from. How far it was
released moves forward only, and only to an event that is there with that hash.
"""

from __future__ import annotations

from typing import Final

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from condahub.audit.models import KEPT_ACTIONS

TABLE: Final = "audit_auditevent"
RELEASED: Final = "audit_released"
RELEASED_ID: Final = 1
REFUSAL: Final = "audit events are append-only"

# Everything but the three columns that sealing fills.
FROZEN_COLUMNS: Final = (
    "id", "at", "actor_label", "actor_id", "token_prefix", "action", "target_type", "target",
    "organization_id", "address", "request_id", "details", "once_key",
)  # fmt: skip


def install(connection: BaseDatabaseWrapper, *, releases: bool | None = None) -> None:
    """Make the triggers anew. releases: whether what was released may go; unless given, when the table that says so is there."""
    if releases is None:
        releases = RELEASED in connection.introspection.table_names()
    if connection.vendor == "postgresql":
        _run(connection, _postgresql_install(releases))
    else:
        # SQLite has no CREATE OR REPLACE TRIGGER.
        with transaction.atomic(using=connection.alias):
            remove(connection)
            _run(connection, _sqlite_install(releases))


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take the triggers away: only to unmake the table, or to empty the whole database."""
    if connection.vendor == "postgresql":
        # A function takes its triggers with it, on whichever of the tables are there.
        _run(connection, ["DROP FUNCTION IF EXISTS audit_refuse() CASCADE", "DROP FUNCTION IF EXISTS audit_refuse_released() CASCADE"])
    else:
        names = ("frozen_update", "frozen_delete", "released_insert", "released_update", "released_delete")
        _run(connection, [f"DROP TRIGGER IF EXISTS audit_{name}" for name in names])


def install_by_migration(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    install(schema_editor.connection)


def install_without_releases_by_migration(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    remove(schema_editor.connection)
    install(schema_editor.connection, releases=False)


def remove_by_migration(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    remove(schema_editor.connection)


def install_after_migrate(*, using: str, **kwargs: object) -> None:
    """SQLite loses a table's triggers when a later migration remakes the table, so they are made good after every one."""
    connection = connections[using]
    if TABLE in connection.introspection.table_names():
        install(connection)


def _run(connection: BaseDatabaseWrapper, statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _is_sealing(same: str) -> str:
    """SQL that is true for the one change allowed: an unsealed event is sealed, and nothing else of it changes."""
    kept = " AND ".join(f'NEW."{column}" {same} OLD."{column}"' for column in FROZEN_COLUMNS)
    return f"OLD.sequence IS NULL AND NEW.sequence IS NOT NULL AND {kept}"


def _may_go(releases: bool) -> str:
    """SQL that is true for an event that may be deleted, else false, never NULL."""
    if not releases:
        return "1 = 0"
    kept = ", ".join(f"'{action}'" for action in KEPT_ACTIONS)
    return f"COALESCE(OLD.sequence <= (SELECT MAX(sequence) FROM {RELEASED}), 1 = 0) AND OLD.action NOT IN ({kept})"  # noqa: S608


_FIRST: Final = f"NEW.id = {RELEASED_ID} AND NEW.sequence = 0 AND NOT EXISTS (SELECT 1 FROM {RELEASED})"  # noqa: S608
_IS_THERE: Final = f"EXISTS (SELECT 1 FROM {TABLE} WHERE {TABLE}.sequence = NEW.sequence AND {TABLE}.hash = NEW.hash)"  # noqa: S608
_FORWARD: Final = f"NEW.id = OLD.id AND NEW.sequence > OLD.sequence AND {_IS_THERE}"


def _sqlite_install(releases: bool) -> list[str]:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    statements = [
        f"CREATE TRIGGER audit_frozen_update BEFORE UPDATE ON {TABLE} WHEN NOT ({_is_sealing('IS')}) {refuse}",
        f"CREATE TRIGGER audit_frozen_delete BEFORE DELETE ON {TABLE} WHEN NOT ({_may_go(releases)}) {refuse}",
    ]
    if releases:
        statements += [
            # COALESCE: a NULL slipped in is no reason to let it pass.
            f"CREATE TRIGGER audit_released_insert BEFORE INSERT ON {RELEASED} WHEN NOT COALESCE({_FIRST}, 0) {refuse}",
            f"CREATE TRIGGER audit_released_update BEFORE UPDATE ON {RELEASED} WHEN NOT COALESCE({_FORWARD}, 0) {refuse}",
            f"CREATE TRIGGER audit_released_delete BEFORE DELETE ON {RELEASED} {refuse}",
        ]
    return statements


def _postgresql_install(releases: bool) -> list[str]:
    statements = [
        f"""
        CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                IF {_is_sealing("IS NOT DISTINCT FROM")} THEN
                    RETURN NEW;
                END IF;
            ELSIF TG_OP = 'DELETE' THEN
                IF {_may_go(releases)} THEN
                    RETURN OLD;
                END IF;
            END IF;
            RAISE EXCEPTION '{REFUSAL}';
        END $$
        """,
        f"CREATE OR REPLACE TRIGGER audit_frozen_row BEFORE UPDATE OR DELETE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
        f"CREATE OR REPLACE TRIGGER audit_frozen_table BEFORE TRUNCATE ON {TABLE} FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
    ]
    if releases:
        refuse = "EXECUTE FUNCTION audit_refuse_released()"
        statements += [
            f"""
            CREATE OR REPLACE FUNCTION audit_refuse_released() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF TG_OP = 'INSERT' THEN
                    IF {_FIRST} THEN
                        RETURN NEW;
                    END IF;
                ELSIF TG_OP = 'UPDATE' THEN
                    IF {_FORWARD} THEN
                        RETURN NEW;
                    END IF;
                END IF;
                RAISE EXCEPTION '{REFUSAL}';
            END $$
            """,
            f"CREATE OR REPLACE TRIGGER audit_released_row BEFORE INSERT OR UPDATE OR DELETE ON {RELEASED} FOR EACH ROW {refuse}",
            f"CREATE OR REPLACE TRIGGER audit_released_table BEFORE TRUNCATE ON {RELEASED} FOR EACH STATEMENT {refuse}",
        ]
    return statements
