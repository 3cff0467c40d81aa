"""What all processes remember together: in Redis, which may be down and then remembers nothing, or in the database."""

from __future__ import annotations

import logging
import math
from datetime import datetime
from typing import Any

from django.apps import apps
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.redis import RedisCache
from django.db import router, transaction
from django.utils import timezone
from redis.exceptions import RedisError

log = logging.getLogger(__name__)


class ForgivingRedisCache(RedisCache):
    """What is kept here makes the hub faster or stricter, and never decides alone: losing it is a warning, no failure."""

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        try:
            return super().get(key, default, version)
        except RedisError as error:
            return self._lost(error, default)

    def set(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().set(*args, **kwargs)
        except RedisError as error:
            self._lost(error, None)

    def add(self, *args: Any, **kwargs: Any) -> bool:
        try:
            return super().add(*args, **kwargs)
        except RedisError as error:
            self._lost(error, None)
            return True

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        try:
            return super().incr(key, delta, version)
        except RedisError as error:
            self._lost(error, None)
            return delta

    def touch(self, *args: Any, **kwargs: Any) -> bool:
        try:
            return super().touch(*args, **kwargs)
        except RedisError as error:
            self._lost(error, None)
            return False

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        try:
            return super().delete(*args, **kwargs)
        except RedisError as error:
            self._lost(error, None)
            return False

    def _lost(self, error: RedisError, answer: Any) -> Any:
        log.warning("the cache does not answer: %s", type(error).__name__)
        return answer


class SharedCache(DatabaseCache):
    """Django's cache in the database, in a table that migrations make; it counts right when several processes count at once."""

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """One more, for as long as it was to be remembered before. Raises ValueError for what is not remembered (any more)."""
        rows: Any = apps.get_model("accounts", "Remembered")._default_manager
        name = self.make_and_validate_key(key, version=version)
        with transaction.atomic(using=router.db_for_write(self.cache_model_class)):
            known = rows.select_for_update().filter(pk=name, expires__gt=timezone.now()).values_list("expires", flat=True)
            until: datetime | None = known.first()
            if until is None:
                raise ValueError(f"Key '{key}' not found")
            count: int = self.get(key, version=version) + delta
            self.set(key, count, timeout=math.ceil((until - timezone.now()).total_seconds()), version=version)
        return count
