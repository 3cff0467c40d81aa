"""gunicorn's configuration of data, which serves bytes and waits for nobody: `gunicorn -c python:condahub.server.gunicorn_data`."""

from __future__ import annotations

import os

from condahub.server.options import *  # noqa: F403
from condahub.server.options import bind_address, number, port

wsgi_app = "condahub.wsgi_data:application"
proc_name = "condahub-data"
bind = bind_address(os.environ.get("CONDAHUB_DATA_HOST") or "127.0.0.1", number("CONDAHUB_DATA_PORT", port() + 1))
workers = number("CONDAHUB_DATA_WORKERS", 1)
threads = number("CONDAHUB_DATA_THREADS", 64)
