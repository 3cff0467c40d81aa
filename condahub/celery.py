"""The Celery app: a doorbell for the job lanes, and beat's clock.

The processes, each in the foreground (`-c` is how many jobs a lane runs at once):

    celery -q -A condahub.celery worker -Q quick -n quick@%h --pool solo -c 4 --without-gossip --without-mingle --without-heartbeat
    celery -q -A condahub.celery worker -Q heavy -n heavy@%h --pool solo -c 2 --without-gossip --without-mingle --without-heartbeat
    celery -q -A condahub.celery beat --scheduler condahub.jobs.beat:HubScheduler --pidfile=

The pool is `solo` because a message only wakes the lane's own threads (condahub.jobs.lanes): Celery's prefork would fork
a process that holds threads, and its threads pool ignores time limits. What needs limits runs in a child process.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from celery import Celery
from celery.signals import celeryd_after_setup, setup_logging, worker_shutdown, worker_shutting_down
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "condahub.settings")
# Eight lines about root at each start of a newcomer's hub would hide its address; `condahub admin doctor` says it instead.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
TRANSPORT_ALIASES["filesystem"] = "condahub.jobs.transport:Transport"

app = Celery("condahub")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    imports=("condahub.jobs.doorbell", "condahub.jobs.schedules"),
    # A worker outlives any absence of its broker: its lane looks by itself meanwhile.
    broker_connection_max_retries=None,
    broker_connection_timeout=2,
    # No results are kept, so beat needs no clean-up of them.
    result_expires=None,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
)


@setup_logging.connect
def _keep_logging(**_: Any) -> None:
    """Having a receiver keeps Celery from replacing the logging that Django's settings set up."""


@celeryd_after_setup.connect
def _open_lanes(instance: Any, **_: Any) -> None:
    # Before the broker is reached, not at worker_ready: a hub whose broker is down still works.
    from condahub.jobs import lanes

    lanes.open_lanes(list(app.amqp.queues.consume_from), slots=int(instance.concurrency))


@worker_shutting_down.connect
def _ask_to_stop(**_: Any) -> None:
    from condahub.jobs import lanes

    lanes.ask_to_stop()


@worker_shutdown.connect
def _close_lanes(**_: Any) -> None:
    from condahub.jobs import lanes

    lanes.close_lanes()
