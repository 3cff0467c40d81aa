"""gunicorn's configuration of web, which answers everything: `gunicorn -c python:condahub.server.gunicorn_web`."""

from __future__ import annotations

import os

from condahub.server.options import *  # noqa: F403
from condahub.server.options import bind_address, number, port

wsgi_app = "condahub.wsgi:application"
proc_name = "condahub-web"
bind = bind_address(os.environ.get("CONDAHUB_HOST") or "127.0.0.1", port())
workers = number("CONDAHUB_WEB_WORKERS", 2)
threads = number("CONDAHUB_WEB_THREADS", 32)
