"""The WSGI layers before Django: the path token is taken out first, then byte-serving goes past the web's middleware."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest

from condahub.storage.answers import BytesAnswer

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

PATH_TOKEN = "condahub.path_token"  # noqa: S105 - the name of a key, no secret
BYTE_DOORS = ("/channels/", "/get/")
_TOKEN_PREFIX = "/t/"  # noqa: S105


# Makes the whole answer of a WSGI environ, or None to leave it to Django.
HotDoor = Callable[[Environ], BytesAnswer | None]


class DataRequest(WSGIRequest):
    urlconf = "condahub.urls_data"


class DataHandler(WSGIHandler):
    """Django without middleware: no session, no cookies, nothing that touches a streamed body.

    The URLconf's `hot_doors` are asked first: what they answer does without Django's request and response.
    """

    request_class = DataRequest

    def __init__(self) -> None:
        super().__init__()
        self._hot_doors: tuple[HotDoor, ...] = import_module(DataRequest.urlconf).hot_doors

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Any:
        for hot_door in self._hot_doors:
            if (answer := hot_door(environ)) is not None:
                return answer.send(environ, start_response)
        return super().__call__(environ, start_response)

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Callable[..., Any]] = []
        self._template_response_middleware: list[Callable[..., Any]] = []
        self._exception_middleware: list[Callable[..., Any]] = []
        # Django's own name for "view without middleware"; its stubs do not have it.
        self._middleware_chain = convert_exception_to_response(getattr(self, "_get_response"))  # noqa: B009


def take_token_out(application: Application) -> Application:
    """Move `/t/<token>` from the path into the environment, before anything can log it."""

    def outermost(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(_TOKEN_PREFIX):
            token, slash, rest = path[len(_TOKEN_PREFIX) :].partition("/")
            environ[PATH_TOKEN] = token
            environ["PATH_INFO"] = slash + rest or "/"
            for key in ("RAW_URI", "REQUEST_URI"):
                if key in environ:
                    environ[key] = environ["PATH_INFO"]
        return application(environ, start_response)

    return outermost


def split_doors(web: Application, data: Application) -> Application:
    """GET and HEAD of the byte-serving doors go to `data`, all else to `web`."""

    def route(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        serves_bytes = environ["REQUEST_METHOD"] in ("GET", "HEAD") and environ.get("PATH_INFO", "").startswith(BYTE_DOORS)
        return (data if serves_bytes else web)(environ, start_response)

    return route
