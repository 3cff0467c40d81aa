"""The database's own refusal to change or delete audit events, for SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLE: Final = "audit_auditevent"
REFUSAL: Final = "audit events are append-only"

# Everything but the three columns that sealing fills.
FROZEN_COLUMNS: Final = (
    "id", "at", "actor_label", "actor_id", "token_prefix", "action", "target_type", "target",
    "organization_id", "address", "request_id", "details", "once_key",
)  # fmt: skip


def install(connection: BaseDatabaseWrapper) -> None:
    """Make the triggers, where they are not there yet."""
    _run(connection, _postgresql_install() if connection.vendor == "postgresql" else _sqlite_install())


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take the triggers away: only to unmake the table, or to empty the whole database."""
    if connection.vendor == "postgresql":
        names = [f"DROP TRIGGER IF EXISTS {name} ON {TABLE}" for name in ("audit_frozen_row", "audit_frozen_table")]
        _run(connection, [*names, "DROP FUNCTION IF EXISTS audit_refuse()"])
    else:
        _run(connection, ["DROP TRIGGER IF EXISTS audit_frozen_update", "DROP TRIGGER IF EXISTS audit_frozen_delete"])


def install_by_migration(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    install(schema_editor.connection)


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


def _sqlite_install() -> list[str]:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    return [
        f"CREATE TRIGGER IF NOT EXISTS audit_frozen_update BEFORE UPDATE ON {TABLE} WHEN NOT ({_is_sealing('IS')}) {refuse}",
        f"CREATE TRIGGER IF NOT EXISTS audit_frozen_delete BEFORE DELETE ON {TABLE} {refuse}",
    ]


def _postgresql_install() -> list[str]:
    return [
        f"""
        CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                IF {_is_sealing("IS NOT DISTINCT FROM")} THEN
                    RETURN NEW;
                END IF;
            END IF;
            RAISE EXCEPTION '{REFUSAL}';
        END $$
        """,
        f"CREATE OR REPLACE TRIGGER audit_frozen_row BEFORE UPDATE OR DELETE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
        f"CREATE OR REPLACE TRIGGER audit_frozen_table BEFORE TRUNCATE ON {TABLE} FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
    ]
