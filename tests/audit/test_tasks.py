"""What the clock does for the audit."""

from __future__ import annotations

from typing import Any, cast

import pytest
from django.db import connection, models

from condahub.audit import chain, tasks, triggers
from condahub.audit.models import AuditEvent
from condahub.audit.services import Someone, record
from condahub.errors import HubError
from condahub.jobs.context import JobContext

NO_CONTEXT = cast("JobContext", None)


def test_the_night_seals_the_rest_and_says_that_all_is_whole(db: None) -> None:
    record(actor=Someone("bob"), action="channel.create", target="x")
    assert tasks.seal(NO_CONTEXT, {}) == {"sealed": 1}
    record(actor=Someone("bob"), action="channel.delete", target="x")
    found: Any = tasks.verify(NO_CONTEXT, {})
    assert (found["ok"], found["count"], found["unsealed"]) == (True, 2, 0)


def test_the_night_fails_aloud_when_somebody_tampered(db: None) -> None:
    record(actor=Someone("bob"), action="channel.create", target="x")
    chain.seal()
    triggers.remove(connection)
    models.QuerySet(AuditEvent).update(actor_label="eve")
    triggers.install(connection)
    with pytest.raises(HubError) as failed:
        tasks.verify(NO_CONTEXT, {})
    assert failed.value.code == "audit_broken"
