"""What gunicorn's configurations of web and data have in common, and how they read the environment."""

from __future__ import annotations

import os
import resource
from typing import Any

PORT = 8000
# Connections of one worker: those that wait cost a descriptor and no thread.
WORKER_CONNECTIONS = 2000
FILES_PER_CONNECTION = 2
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - gunicorn opens an unnamed file of its own there


def number(name: str, default: int) -> int:
    """An environment variable that is a whole number."""
    text = os.environ.get(name, "").strip()
    return int(text) if text else default


def flag(name: str, default: bool) -> bool:
    """An environment variable that is on or off."""
    text = os.environ.get(name, "").strip().lower()
    return text in ("1", "true", "yes", "on") if text else default


def port() -> int:
    """Where web listens; data listens on the next one."""
    return number("PORT", PORT)


def bind_address(host: str, port: int) -> str:
    """gunicorn's form of an address; an IPv6 one is put in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def shared_memory_folder() -> str | None:
    """Where workers show that they live: on a disk that stalls, a healthy worker would be killed."""
    return SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK | os.X_OK) else None


def raise_file_limit(server: Any) -> None:
    """Asks for as many descriptors as the connections of a worker need; the usual limit of 1,024 is less."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WORKER_CONNECTIONS * FILES_PER_CONNECTION + 512
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


worker_class = "condahub.server.worker.HubWorker"
logger_class = "condahub.server.logs.HubLogger"
worker_connections = WORKER_CONNECTIONS
worker_tmp_dir = shared_memory_folder()
control_socket_disable = True
preload_app = False
on_starting = raise_file_limit

# A worker whose poller says nothing for so long is stuck; a slow request is none of its business.
timeout = 60
graceful_timeout = number("CONDAHUB_GRACEFUL_SECONDS", 30)
# Behind nginx longer than its own keepalive_timeout for upstreams would be, so that it never writes into a closing connection.
keepalive = 75

limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190
# Whose X-Forwarded-* counts: the proxy in front, by address or network.
forwarded_allow_ips = os.environ.get("CONDAHUB_FORWARDED_ALLOW_IPS") or "127.0.0.1,::1"

accesslog = "-" if flag("CONDAHUB_ACCESS_LOG", True) else None
errorlog = "-"
loglevel = os.environ.get("CONDAHUB_LOG_LEVEL", "info").lower()
