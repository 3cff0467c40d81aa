"""Files leave by sendfile: right bytes of any range, flat memory, no descriptor left open."""

from __future__ import annotations

import hashlib
import os

import pytest

from tests.server.conftest import Server
from tests.server.test_worker import place, process

DATA = os.urandom(3_000_001)


@pytest.mark.parametrize("door", ["/blob/", "/fast/"], ids=["through Django", "by WSGI alone"])
def test_ranges_have_their_bytes_on_one_connection(server: Server, door: str) -> None:
    path = place(server, DATA).replace("/blob/", door)
    size = len(DATA)
    tag = f'"{hashlib.sha256(DATA).hexdigest()}"'
    with server.open() as connection:
        for headers, status, wanted in (
            ({}, 200, DATA),
            ({"Range": "bytes=0-0"}, 206, DATA[:1]),
            ({"Range": f"bytes={size - 1}-{size - 1}"}, 206, DATA[-1:]),
            ({"Range": "bytes=1000-2000000"}, 206, DATA[1000:2_000_001]),
            ({"Range": "bytes=2999990-"}, 206, DATA[2_999_990:]),
            ({"Range": "bytes=-7", "If-Range": tag}, 206, DATA[-7:]),
            ({"Range": "bytes=-7", "If-Range": '"old"'}, 200, DATA),
            ({"Range": "bytes=0-1,5-6"}, 200, DATA),
            ({"Range": f"bytes={size}-"}, 416, b""),
            ({"If-None-Match": tag}, 304, b""),
            ({}, 200, DATA),
        ):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            assert (answer.status, answer.read() == wanted) == (status, True), headers
        connection.request("HEAD", path)
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Length"], answer.read()) == (200, str(size), b"")


def test_descriptors_stay_flat_over_200_ranges(server: Server) -> None:
    path = place(server, DATA)
    with server.open() as connection:
        before = 0
        for number in range(200):
            connection.request("GET", path, headers={"Range": f"bytes={number * 1000}-{number * 1000 + 9999}"})
            assert connection.getresponse().read() == DATA[number * 1000 : number * 1000 + 10_000]
            before = before or process(server)["files"]
        assert process(server)["files"] <= before + 1


def test_memory_stays_flat_over_500_megabytes(server: Server) -> None:
    path = place(server, b"the beginning", size=500_000_000)
    before = process(server)["peak_kilobytes"]
    got = 0
    buffer = bytearray(1024**2)
    with server.open() as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        while taken := answer.readinto(buffer):
            got += taken
    assert got == 500_000_000
    assert process(server)["peak_kilobytes"] - before < 8_000


def test_a_lost_file_is_a_503_and_the_connection_goes_on(server: Server) -> None:
    answer = server.ask("GET", f"/blob/{'0' * 64}?size=10")
    assert (answer.status, bool(answer.headers["Retry-After"])) == (503, True)
