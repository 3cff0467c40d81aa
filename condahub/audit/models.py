"""Audit events, appended and never changed, and the head of the chain that seals them."""

from __future__ import annotations

from typing import Any, Final, NoReturn

from django.db import models

# What past moments are read from (who could read a channel on a day) and where released events are: these rows stay for ever.
KEPT_ACTIONS: Final = (
    "audit.released", "organization.create", "grant.give", "grant.revoke", "grant.drop",
    "team.create", "team.add_member", "team.remove_member", "team.delete", "user.deactivate", "user.reactivate",
    "channel.create", "channel.update", "channel.change_owner",
)  # fmt: skip


class AppendOnlyError(TypeError):
    """Somebody tried to change or delete what may only be added to: a fault in the program, never shown to people."""


class AuditQuerySet(models.QuerySet["AuditEvent"]):
    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("Audit events are never changed.")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("Audit events are never changed.")

    def delete(self) -> NoReturn:
        raise AppendOnlyError("Audit events are never deleted.")


class AuditEvent(models.Model):
    """Who did what to which, from where. Names and ids are copied in, so that an event outlives what it tells of.

    Events are inserted unsealed inside the transaction they tell of; `sequence`, `previous_hash` and `hash` are filled once,
    by sealing. Triggers in the database refuse every other change.
    """

    at = models.DateTimeField(db_index=True)
    actor_label = models.CharField(max_length=200)
    actor_id = models.BigIntegerField(null=True, blank=True, db_index=True)
    token_prefix = models.CharField(max_length=20, blank=True, default="")
    action = models.CharField(max_length=64, db_index=True)
    target_type = models.CharField(max_length=32)
    target = models.CharField(max_length=500, blank=True, default="")
    organization_id = models.BigIntegerField(null=True, blank=True, db_index=True)
    address = models.CharField(max_length=45, blank=True, default="")
    request_id = models.CharField(max_length=64, blank=True, default="")
    details = models.JSONField(default=dict)
    once_key = models.CharField(max_length=200, null=True, blank=True, unique=True, help_text="Events with the same key are recorded once.")
    sequence = models.BigIntegerField(null=True, unique=True, editable=False)
    previous_hash = models.CharField(max_length=64, blank=True, default="", editable=False)
    hash = models.CharField(max_length=64, blank=True, default="", editable=False)

    objects = AuditQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["target_type", "target"], name="audit_target"),
            models.Index(fields=["id"], name="audit_unsealed", condition=models.Q(sequence__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_label} {self.action} {self.target}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError("Audit events are never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("Audit events are never deleted.")


class ChainHead(models.Model):
    """The last seal given: one row, whose lock lets one process seal at a time, and which shows when the end was cut off."""

    sequence = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, blank=True, default="")

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"


class Forwarded(models.Model):
    """The number of the last event that the syslog server was given: one row."""

    sequence = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.sequence)


class Released(models.Model):
    """Up to where the beginning of the chain was let go into files: one row, which triggers let move forward only."""

    sequence = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, blank=True, default="")

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"
