"""A few doors of a Django application to run under gunicorn; `CONDAHUB_TEST_LIMIT_SECONDS` makes every limit of the worker so short."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import path

from condahub.errors import HubError
from condahub.server import connections, waiting, worker
from condahub.server.body import iterate_body, multipart_files
from condahub.storage.answers import Representation, answer_blob
from condahub.storage.blobs import blobs
from condahub.storage.serve import serve_blob

if _limit := os.environ.get("CONDAHUB_TEST_LIMIT_SECONDS"):
    for module in (connections, worker):
        for name in ("HEAD_SECONDS", "BODY_IDLE_SECONDS", "SEND_STALL_SECONDS"):
            if hasattr(module, name):
                setattr(module, name, float(_limit))


def answered(view: Any) -> Any:
    """The view, with a HubError as its own answer: what the hub's doors do, each in its form."""

    def wrapped(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        try:
            answer: HttpResponseBase = view(request, **kwargs)
        except HubError as error:
            return JsonResponse(error.as_dict(), status=error.status, headers=error.headers)
        return answer

    return wrapped


def hello(request: HttpRequest, token: str = "") -> HttpResponse:
    return HttpResponse(b"hello", content_type="text/plain", headers={"Content-Length": "5"})


def refuse(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"no", status=403, headers={"Content-Length": "2"})


def slow(request: HttpRequest) -> HttpResponse:
    time.sleep(1)
    return HttpResponse(b"slow", headers={"Content-Length": "4"})


@answered
def upload(request: HttpRequest) -> HttpResponseBase:
    with blobs().temporary() as temp:
        for piece in iterate_body(request, limit_bytes=int(request.GET.get("limit", 2**40))):
            temp.write(piece)
        return JsonResponse({"size": temp.size, "sha256": temp.sha256, "peak_kilobytes": _status("VmHWM")})


@answered
def multipart(request: HttpRequest) -> HttpResponseBase:
    with multipart_files(request, store=blobs()) as form:
        files = [[file.field, file.filename, file.blob.size, file.blob.sha256] for file in form.files]
        return JsonResponse({"files": files, "fields": form.fields})


@answered
def blob(request: HttpRequest, sha256: str) -> HttpResponseBase:
    size = int(request.GET["size"])
    return serve_blob(
        request, namespace="packages", sha256=sha256, size=size, content_type="application/x-tar", etag=sha256, cache_control="no-cache"
    )


def process(request: HttpRequest) -> HttpResponse:
    descriptors = [Path("/proc/self/fd") / number for number in os.listdir("/proc/self/fd")]
    opened = [os.readlink(descriptor) for descriptor in descriptors if descriptor.is_symlink()]
    blobs_open = sum(1 for target in opened if "/packages/" in target)
    return JsonResponse({"files": len(opened), "blobs": blobs_open, "peak_kilobytes": _status("VmHWM")})


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise KeyError(name)


urlpatterns = [
    path("hello", hello),
    path("t/<token>/hello", hello),
    path("refuse", refuse),
    path("slow", slow),
    path("upload", upload),
    path("multipart", multipart),
    path("blob/<sha256>", blob),
    path("process", process),
]

_django = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """Django, but for `/fast/<sha256>`, the same answers by WSGI alone, and `/wait/<seconds>`, a door that waits for an upstream."""
    if (finish := environ.get(waiting.FINISH)) is not None:
        body: bytes = finish()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    if environ["PATH_INFO"].startswith("/wait/"):
        seconds = float(environ["PATH_INFO"].removeprefix("/wait/"))
        waiting.where_it_may_wait(environ, lambda: time.sleep(seconds) or b"waited")
    if not environ["PATH_INFO"].startswith("/fast/"):
        return _django(environ, start_response)
    sha256 = environ["PATH_INFO"].removeprefix("/fast/")
    size = int(environ["QUERY_STRING"].removeprefix("size="))
    what = Representation.of(size, content_type="application/x-tar", etag=sha256, cache_control="no-cache")
    return answer_blob(environ, what, namespace="packages", sha256=sha256).send(environ, start_response)
