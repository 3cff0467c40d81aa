"""The doorbell: a Celery message that says "look" to a lane. It may be lost, doubled or late; nothing depends on it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.db import transaction

from condahub.celery import app

logger = logging.getLogger(__name__)

RING_TASK = "condahub.jobs.ring"
# A message older than this says nothing new: the lanes look by themselves every few seconds.
EXPIRES_SECONDS = 30
# After a broker failed to answer, nobody waits for it again for this long.
SILENCE_SECONDS = 10

_silent_until = 0.0
_local_lanes: dict[str, Callable[[], None]] = {}
_lock = threading.Lock()


def listen(lane: str, wake: Callable[[], None] | None) -> None:
    """The lane that runs in this process (None: no longer), woken without a message too."""
    with _lock:
        if wake is None:
            _local_lanes.pop(lane, None)
        else:
            _local_lanes[lane] = wake


def ring_on_commit(lane: str) -> None:
    """Ring when the caller's transaction is committed; at once outside of one."""
    transaction.on_commit(lambda: ring(lane), robust=True)


def ring(lane: str) -> bool:
    """Send the message; False when the broker does not answer (the lane will look by itself)."""
    global _silent_until
    wake = _local_lanes.get(lane)
    if wake is not None:
        wake()
    if time.monotonic() < _silent_until:
        return False
    try:
        app.send_task(RING_TASK, args=[lane], queue=lane, expires=EXPIRES_SECONDS, retry=False, ignore_result=True)
    except Exception as error:  # noqa: BLE001 - whatever a broker's client raises, the job is safe in the database
        _silent_until = time.monotonic() + SILENCE_SECONDS
        logger.warning("The broker does not answer (%s); jobs start a little later.", type(error).__name__)
        return False
    return True


@app.task(name=RING_TASK, ignore_result=True)
def answer(lane: str) -> None:
    """The other end of the bell, in a worker: wake its lane."""
    wake = _local_lanes.get(lane)
    if wake is not None:
        wake()
