"""Secrets stay with their origin, private addresses stay out of reach, limits and hours are kept."""

from __future__ import annotations

import asyncio
import bz2
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from aiohttp import web

from mirrors_app.core.compressed import open_bz2, open_zstd
from mirrors_app.core.config import channel_address
from mirrors_app.core.credentials import Credentials, split_credentials
from mirrors_app.core.errors import BadConfiguration, ForbiddenAddress, UpstreamBroken, UpstreamError, UpstreamTooLarge, WindowClosed
from mirrors_app.core.fetch import Fetcher, FetchSettings
from mirrors_app.core.pace import Window, check_windows, retry_after_seconds
from mirrors_app.core.parts import Answer
from mirrors_app.core.run import RunReport
from mirrors_app.core.ssrf import make_guard
from tests.mirrors_app.core.conftest import QUICK, served
from tests.mirrors_app.core.upstream_server import Channel, UpstreamServer

SECRET = "s3cr3t-value"
KINDS = [
    Credentials(kind="basic", username="me", secret=SECRET),
    Credentials(kind="bearer", secret=SECRET),
    Credentials(kind="api_key", secret=SECRET),
    Credentials(kind="token", secret=SECRET),
]


def read(url: str, settings: FetchSettings = QUICK, credentials: dict[str, Credentials] | None = None, max_bytes: int = 10**6) -> Answer:
    async def ask() -> Answer:
        async with Fetcher(settings, credentials or {}) as fetcher:
            return await fetcher.read(url, max_bytes=max_bytes)

    return asyncio.run(ask())


def redirect(to: str) -> Callable[..., object]:
    def answer(request: web.Request, path: Path) -> web.Response | None:
        return web.Response(status=302, headers={"Location": to}) if request.path.endswith("moved") else None

    return answer


@pytest.mark.parametrize("credentials", KINDS, ids=lambda one: one.kind)
def test_credentials_go_to_their_own_origin_and_nowhere_else(credentials: Credentials, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("x")
    with UpstreamServer(tmp_path) as other, UpstreamServer(tmp_path, [redirect(f"{other.url}here")]) as own:
        known = {own.url: credentials}
        if credentials.kind == "token":
            (tmp_path / "t" / SECRET).mkdir(parents=True)
            (tmp_path / "t" / SECRET / "here").write_text("x")
        assert read(f"{own.url}here", credentials=known).body == b"x"
        assert SECRET in str(own.headers) or "bWU6" in str(own.headers)
        assert read(f"{own.url}moved", credentials=known).body == b"x"
        assert SECRET not in str(other.headers)
        assert not {"Authorization", "X-API-Key"} & set(other.headers[-1][1])
        with pytest.raises(UpstreamError) as told:
            read(f"{own.url}nothing", credentials=known)
        assert SECRET not in str(told.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_private_addresses_are_out_of_reach(host: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("inner")
    with UpstreamServer(tmp_path) as server:
        with pytest.raises(UpstreamError):
            read(f"http://{host}:{server.port}/secret", replace(QUICK, guard=make_guard()))
        assert not server.requests


def test_a_redirect_into_a_private_address_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("inner")
    with UpstreamServer(tmp_path) as inner, UpstreamServer(tmp_path) as allowed:
        allowed.faults = [redirect(f"http://localhost:{inner.port}/secret")]
        settings = replace(QUICK, guard=make_guard(hosts=["127.0.0.1"]))
        with pytest.raises(ForbiddenAddress):
            read(f"{allowed.url}moved", settings)
        assert not inner.requests


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "moved", "//"])
def test_other_redirects_end_in_an_error(to: str, tmp_path: Path) -> None:
    with UpstreamServer(tmp_path, [redirect(to)]) as server, pytest.raises(UpstreamError):
        read(f"{server.url}moved")


def test_a_body_past_its_limit_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    with UpstreamServer(tmp_path) as server, pytest.raises(UpstreamTooLarge):
        read(f"{server.url}large", max_bytes=99_999)


@pytest.mark.parametrize(
    "data", [zstandard.compress(b"\0" * 10**7), zstandard.ZstdCompressor(write_content_size=False).compress(b"\0" * 10**7)]
)
def test_bombs_are_refused(data: bytes) -> None:
    with pytest.raises(UpstreamTooLarge):
        open_zstd(data, max_bytes=10**6, what="it")


def test_compressed_bytes_come_whole_or_not_at_all() -> None:
    text = b"one" * 1000
    frames = zstandard.compress(text) + zstandard.compress(text)
    assert open_zstd(frames, max_bytes=10**6, what="it") == text * 2
    assert open_bz2(bz2.compress(text) + bz2.compress(text), max_bytes=10**6, what="it") == text * 2
    with pytest.raises(UpstreamTooLarge):
        open_bz2(bz2.compress(b"\0" * 10**7), max_bytes=10**6, what="it")
    for broken in (b"", b"plain", zstandard.compress(text)[:-5]):
        with pytest.raises(UpstreamBroken):
            open_zstd(broken, max_bytes=10**6, what="it")
    for broken in (b"plain", bz2.compress(text)[:-5]):
        with pytest.raises(UpstreamBroken):
            open_bz2(broken, max_bytes=10**6, what="it")


def test_bytes_a_second(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 300_000)
    with UpstreamServer(tmp_path) as server:
        started = time.monotonic()
        read(f"{server.url}large", replace(QUICK, bytes_per_second=300_000))
        read(f"{server.url}large", replace(QUICK, bytes_per_second=200_000))
        assert 0.4 < time.monotonic() - started < 10


def test_hours() -> None:
    night = Window.parse("22:00-06:00", "Europe/Berlin")
    assert night.is_open(datetime(2026, 1, 1, 23, 0, tzinfo=UTC))
    assert not night.is_open(datetime(2026, 1, 1, 5, 30, tzinfo=UTC))
    day = Window.parse("08:00-18:00")
    check_windows((night, day), datetime(2026, 1, 1, 12, tzinfo=UTC))
    with pytest.raises(WindowClosed):
        check_windows((night,), datetime(2026, 1, 1, 12, tzinfo=UTC))
    for wrong in ("8-18", "25:00-26:00", ""):
        with pytest.raises(BadConfiguration):
            Window.parse(wrong)


def test_outside_the_hours_nothing_is_asked(server: UpstreamServer, mirror: Callable[..., RunReport]) -> None:
    now = datetime.now(UTC)
    closed = Window.parse(f"{(now.hour + 2) % 24:02}:00-{(now.hour + 3) % 24:02}:00")
    report = mirror(fetch_windows=(closed,))
    assert (report.status, "outside the hours" in report.reason) == ("failed", True)
    assert not server.requests


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3), ("9999", 300), ("-1", 0), ("soon", 0), (None, 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
def test_retry_after(value: str | None, seconds: float) -> None:
    assert retry_after_seconds(value, limit_seconds=300) == seconds


def test_credentials_are_taken_out_of_addresses() -> None:
    assert split_credentials("https://me:p%40ss@host/ch/", Credentials()) == (
        "https://host/ch/",
        Credentials(kind="basic", username="me", secret="p@ss"),
    )
    assert split_credentials("https://host/t/tk-1/ch/", Credentials()) == ("https://host/ch/", Credentials(kind="token", secret="tk-1"))
    assert channel_address("conda-forge")[0] == "https://conda.anaconda.org/conda-forge/"
    assert SECRET not in repr(KINDS)
    for wrong in ("/etc", "file:///etc", "gopher://x/", "", "./x"):
        with pytest.raises(BadConfiguration):
            channel_address(wrong)


def test_a_local_folder_and_nothing_outside_it(channel: Channel, tmp_path: Path, mirror: Callable[..., RunReport]) -> None:
    address, _ = channel_address(str(channel.folder), local=True)
    settings: dict[str, Any] = {"upstreams": (address,), "fetch_local_folders": (channel.folder,)}
    assert mirror(**settings).status == "ok"
    assert served(tmp_path / "mirror") == channel.records["linux-64"]
    assert mirror(**settings).added == []
    (tmp_path / "outside").write_text("x")
    with pytest.raises(UpstreamError):
        read((tmp_path / "outside").as_uri(), replace(QUICK, local_folders=(channel.folder,)))
    with pytest.raises(UpstreamError):
        read(f"{address}../outside", replace(QUICK, local_folders=(channel.folder,)))
