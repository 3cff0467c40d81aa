"""Speaks to a hub's REST API: signs in, retries what may be retried, pages through lists, and turns refusals into sentences."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from condahub import __version__
from condahub.cli.exits import SIGNED_OUT, Failure, Unreachable

API = "/api/hub/v1/"
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
# A package of many gigabytes is checked before the hub answers.
UPLOAD_ANSWER_SECONDS = 900.0
PAGE_SIZE = 200

# "Not now": the hub, or a proxy before it, did not begin with the work.
_NOT_NOW = frozenset({429, 502, 503, 504})
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})


class Hub:
    """One hub, as one person or program meets it. A context manager; every method raises Failure or Unreachable."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url, self.token = url, token
        self._signed_in = token is not None
        headers = {"User-Agent": f"condahub/{__version__}", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # Redirects are not followed: a token goes to the address it was made for and nowhere else.
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self._http = httpx.Client(headers=headers, timeout=timeout, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """The JSON at `path` (below /api/hub/v1/); params that are None are left out."""
        return self.call("GET", path, params=params)

    def post(self, path: str, body: Any = None, **params: Any) -> Any:
        return self.call("POST", path, body=body, params=params)

    def patch(self, path: str, body: Any) -> Any:
        return self.call("PATCH", path, body=body)

    def delete(self, path: str, **params: Any) -> Any:
        return self.call("DELETE", path, params=params)

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """All items of a list, page after page."""
        page = 1
        while True:
            answer = self.get(path, page=page, page_size=PAGE_SIZE, **params)
            if isinstance(answer, list):
                yield from answer
                return
            yield from answer["results"]
            if not answer.get("next"):
                return
            page += 1

    def call(self, method: str, path: str, *, body: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """Ask, again where that is safe, and return the answer's JSON (None without a body)."""
        address = path if path.startswith("/") else API + path
        sent = {key: _text(value) for key, value in (params or {}).items() if value is not None}

        def send() -> httpx.Response:
            return self._http.request(method, self.url + address, params=sent or None, json=body)

        return self._read(self._repeat(send, repeatable=method in _REPEATABLE))

    def upload(
        self, path: str, *, content: Callable[[], Iterator[bytes]], size: int, params: Mapping[str, Any], method: str = "POST"
    ) -> Any:
        """Send a file; `content` starts from its beginning at each call. The hub takes the same bytes twice quietly."""
        sent = {key: _text(value) for key, value in params.items() if value is not None}
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        timeout = httpx.Timeout(UPLOAD_ANSWER_SECONDS, connect=CONNECT_SECONDS, write=ANSWER_SECONDS)

        def send() -> httpx.Response:
            return self._http.request(method, self.url + API + path, params=sent, content=content(), headers=headers, timeout=timeout)

        return self._read(self._repeat(send, repeatable=True))

    def download(self, path: str, target: Path, *, size: int) -> None:
        """The bytes at `path` into a file, from where it ends already; again from there when the connection breaks. Raises OSError."""
        for attempt in range(1, ATTEMPTS + 1):
            have = target.stat().st_size if target.exists() else 0
            if have == size and size:
                return
            try:
                self._download(self.url + API + path, target, have if have < size else 0)
                return
            except httpx.TransportError as error:
                if attempt == ATTEMPTS:
                    raise self._unreachable(error) from error
                _pause(attempt, None)

    def _download(self, url: str, target: Path, start: int) -> None:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        with self._http.stream("GET", url, headers=headers) as response:
            place = response.headers.get("Location", "") if response.is_redirect else ""
            if not place:
                self._write(response, target)
                return
        # A store of its own: it is told which bytes by the address, and never the token.
        with httpx.stream("GET", place, headers=headers, timeout=self._http.timeout, follow_redirects=False) as response:
            self._write(response, target)

    def _write(self, response: httpx.Response, target: Path) -> None:
        if not response.is_success:
            response.read()
            self._read(response)
            raise self._refusal(response)
        with target.open("ab" if response.status_code == httpx.codes.PARTIAL_CONTENT else "wb") as file:
            for block in response.iter_raw():
                file.write(block)

    def _repeat(self, send: Callable[[], httpx.Response], *, repeatable: bool) -> httpx.Response:
        """Send until there is an answer worth reading; what may have acted is sent once only."""
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            try:
                response = send()
            except httpx.LocalProtocolError as error:
                raise Failure("The file changed while it was sent.", hint="Try again.", code="file_changed") from error
            except httpx.TransportError as error:
                never_arrived = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if last or not (repeatable or never_arrived):
                    raise self._unreachable(error) from error
                _pause(attempt, None)
                continue
            except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.DecodingError) as error:
                raise self._unreachable(error) from error
            wait = response.headers.get("Retry-After")
            if response.status_code in _NOT_NOW and not last and (repeatable or (response.status_code in (429, 503) and wait)):
                _pause(attempt, wait)
                continue
            return response
        raise AssertionError("unreachable")

    def _unreachable(self, error: Exception) -> Unreachable:
        said = "the connection broke"
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            said = "no connection"
        elif isinstance(error, httpx.TimeoutException):
            said = "no answer in time"
        if isinstance(error, httpx.ConnectError) and "CERTIFICATE" in str(error):
            return Unreachable(
                f"The certificate of {self.url} is not trusted by this machine.",
                hint="If a company certificate signs it, name that file in SSL_CERT_FILE.",
            )
        return Unreachable(f"{self.url} does not answer ({said}).", hint="Is the address right, and the hub running? Try again later.")

    def _read(self, response: httpx.Response) -> Any:
        if response.is_success:
            if not response.content:
                return None
            try:
                return response.json()
            except ValueError:
                if "json" in response.headers.get("Content-Type", ""):
                    raise Unreachable(f"{self.url} answered with JSON that can't be read.") from None
                return response.text
        if response.is_redirect:
            hint = f"Use the address it names: {response.headers.get('Location', '')}"
            raise Failure(f"{self.url} answers at another address.", hint=hint, code="redirected", status=response.status_code)
        raise self._refusal(response)

    def _refusal(self, response: httpx.Response) -> Failure:
        status = response.status_code
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict) or "detail" not in body:
            detail = f"{self.url} answered {status} {response.reason_phrase}".rstrip() + "."
            body = {"code": f"http_{status}", "detail": detail, "hint": "" if status >= 500 else "Is this the address of a condahub?"}
        if status == 401:
            hint = "The token is not valid any more: run condahub login again." if self._signed_in else f"Run: condahub login {self.url}"
            return Failure(str(body["detail"]), hint=hint, code=str(body.get("code")), exit_code=SIGNED_OUT, status=status)
        if status in (502, 503, 504):
            return Unreachable(str(body["detail"]), hint=str(body.get("hint") or "Try again later."))
        return Failure(str(body["detail"]), hint=str(body.get("hint") or ""), code=str(body.get("code") or "refused"), status=status)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pause(attempt: int, retry_after: str | None) -> None:
    """Wait as long as the hub asks for, else twice as long each time; never longer than LONGEST_PAUSE_SECONDS."""
    seconds = FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311 - spreads clients, hides nothing
    if retry_after is not None and retry_after.isascii() and retry_after.isdigit():
        seconds = max(seconds, float(retry_after))
    time.sleep(min(seconds, LONGEST_PAUSE_SECONDS))
