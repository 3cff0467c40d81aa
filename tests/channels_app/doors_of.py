"""Asks the conda door as a client does: through the WSGI applications that the web and the byte-serving process run."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(path: str, *, method: str = "GET", data: bool = False, **headers: str) -> Reply:
    """One request; headers as `If_None_Match="..."`. data: of the byte-serving process, else of the web."""
    # Only the one that is asked: the web loads every door of the house.
    from condahub import wsgi_data

    raw, _, query = path.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote_to_bytes(raw).decode("latin-1"),
        "RAW_URI": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "REMOTE_ADDR": "127.0.0.1",
        "SCRIPT_NAME": "",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.file_wrapper": FileWrapper,
        **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }
    told: dict[str, Any] = {}

    def start_response(status: str, head: list[tuple[str, str]], exc_info: object = None) -> None:
        told["status"], told["headers"] = int(status.split()[0]), dict(head)

    application = wsgi_data.application if data else _web()
    answer: Iterable[bytes] = application(environ, start_response)
    try:
        body = b"".join(answer)
    finally:
        if hasattr(answer, "close"):
            answer.close()
    return Reply(told["status"], told["headers"], body)


def _web() -> Any:
    from condahub import wsgi

    return wsgi.application
