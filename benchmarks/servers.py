"""Single servers for the measurements: the hub's byte-serving process, gunicorn with nothing in it, nginx."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from condahub.ops.children import die_with_parent
from condahub.ops.roles import DATA, HOME, command
from condahub.ops.supervise import any_free_port

START_SECONDS = 60
STOP_SECONDS = 15
HUB_WORKER = "condahub.server.worker.HubWorker"
STOCK_WORKER = "gthread"


@contextmanager
def running(words: Sequence[str], *, port: int, environment: Mapping[str, str], log: Path, path: str = "/") -> Iterator[str]:
    """Run a server, in a process group of its own, for the length of a block; its address, once it answers."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            words,
            cwd=HOME,
            env=dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(signal.SIGTERM),
            start_new_session=True,
        )
    try:
        _wait(process, port, path, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # What it started and left behind.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            connection.getresponse().read()
            connection.close()
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"a server did not start:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)


@contextmanager
def bare_gunicorn(environment: Mapping[str, str], log: Path, *, worker: str, body_bytes: int) -> Iterator[str]:
    """One worker of this class around an application that does nothing; all else is configured as the hub's byte-serving process."""
    port = any_free_port()
    words = [sys.executable, "-m", "gunicorn", "--config", "python:condahub.server.gunicorn_data", "--worker-class", worker]
    given = {**environment, "CONDAHUB_DATA_PORT": str(port), "CONDAHUB_DATA_WORKERS": "1", "BARE_BYTES": str(body_bytes)}
    with running([*words, "benchmarks.bare:application"], port=port, environment=given, log=log) as url:
        yield url


@contextmanager
def data_process(environment: Mapping[str, str], log: Path, **settings: str) -> Iterator[str]:
    """The byte-serving process as `make run` starts it, one worker, on the data folder that the environment names."""
    port = any_free_port()
    given = {**environment, "CONDAHUB_DATA_PORT": str(port), "CONDAHUB_DATA_WORKERS": "1", **settings}
    with running(command(DATA, given), port=port, environment=given, log=log, path="/livez") as url:
        yield url


_NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 65;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    upstream data {{ server {upstream}; keepalive 32; }}
    server {{
        listen 127.0.0.1:{port};
        location /alone/ {{ alias {files}/; }}
        location / {{
            proxy_pass http://data;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
        location /_store/ {{
            internal;
            alias {store}/;
            etag off;
            add_header ETag $upstream_http_etag;
        }}
    }}
}}
"""


class NoNginx(Exception):
    """nginx is not installed."""


@contextmanager
def nginx(folder: Path, *, upstream: str, files: Path, store: Path) -> Iterator[str]:
    """nginx as deploy/nginx.conf sets it up, before the hub at `upstream` (host:port); `/alone/` serves `files` without the hub."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        raise NoNginx("nginx is missing: `make test-system` or `apt-get install nginx`")
    port = any_free_port()
    configuration = folder / "nginx.conf"
    # As root it would give its workers to somebody who may not read a private folder.
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(_NGINX.format(user=user, folder=folder, upstream=upstream, port=port, files=files, store=store))
    with running([program, "-c", str(configuration)], port=port, environment={}, log=folder / "nginx.out", path="/alone/") as url:
        yield url
