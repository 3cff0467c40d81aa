"""Django's `flush`, which empties the whole database on purpose and so must get past the audit's triggers."""

from __future__ import annotations

from typing import Any

from django.core.management.commands.flush import Command as FlushCommand
from django.db import connections

from condahub.audit import triggers


class Command(FlushCommand):
    def handle(self, **options: Any) -> None:
        connection = connections[options["database"]]
        if triggers.TABLE not in connection.introspection.table_names():
            return super().handle(**options)
        triggers.remove(connection)
        try:
            super().handle(**options)
        finally:
            triggers.install(connection)
