"""The command line of each of the hub's processes, the same under `make run` and in a container.

`python -m condahub.ops.roles web` (data, quick, heavy, beat, watch, migrate) becomes that process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

# The checkout, or the folder of the installed packages: where every process runs.
HOME = Path(__file__).resolve().parents[2]

WEB, DATA, QUICK, HEAVY, BEAT, MIGRATE = "web", "data", "quick", "heavy", "beat", "migrate"
# What serves, as opposed to `migrate`, which ends.
SERVING = (WEB, DATA, QUICK, HEAVY, BEAT)
# Beside them where CONDAHUB_WATCH names folders: notices changes in them sooner than the quick lane looks by itself.
WATCH = "watch"


def serving(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The processes that a hub with these settings has."""
    return (*SERVING, WATCH) if environment.get("CONDAHUB_WATCH") else SERVING


def command(role: str, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The arguments of `role`'s program, to be run in `HOME`.

    Raises:
        KeyError: no such role.
    """
    level = ["--loglevel", environment.get("CONDAHUB_LOG_LEVEL", "INFO").lower()]
    celery = ["-m", "celery", "--quiet", "--app", "condahub.celery"]
    return [
        sys.executable,
        *{
            WEB: ["-m", "gunicorn", "--config", "python:condahub.server.gunicorn_web", "condahub.wsgi:application"],
            DATA: ["-m", "gunicorn", "--config", "python:condahub.server.gunicorn_data", "condahub.wsgi_data:application"],
            QUICK: [*celery, "worker", *_lane(QUICK, environment.get("CONDAHUB_QUICK_SLOTS", "4")), *level],
            HEAVY: [*celery, "worker", *_lane(HEAVY, environment.get("CONDAHUB_HEAVY_SLOTS", "2")), *level],
            BEAT: [*celery, "beat", "--scheduler", "condahub.jobs.beat:HubScheduler", "--pidfile=", *level],
            MIGRATE: ["-m", "condahub.ops.first_start"],
            WATCH: ["-m", "django", "watch_specifications"],
        }[role],
    ]


def _lane(name: str, slots: str) -> list[str]:
    # `solo`: a message only wakes the lane's own threads; there is nothing for a pool of Celery's to do.
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return ["--queues", name, "--hostname", f"{name}@%h", "--pool", "solo", "--concurrency", slots, *quiet]


def main() -> None:
    """Become the process that the one argument names."""
    roles = (*SERVING, MIGRATE, WATCH)
    if len(sys.argv) != 2 or sys.argv[1] not in roles:
        sys.exit(f"Say which process to run: {', '.join(roles)}.")
    arguments = command(sys.argv[1])
    os.chdir(HOME)
    os.execv(arguments[0], arguments)


if __name__ == "__main__":
    main()
