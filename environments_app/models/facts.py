"""What is written once and never changed."""

from __future__ import annotations

from typing import Any

from django.db import models


class Fact(models.Model):
    """A row that can be made and collected as garbage, and never edited."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError(f"A {type(self).__name__} is a fact: it is never changed.")
        super().save(*args, **kwargs)
