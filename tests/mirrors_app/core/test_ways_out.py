"""Upstreams behind a proxy, behind a certificate of one's own, and in a bucket: asked really, and signed really."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from moto.server import ThreadedMotoServer

from mirrors_app.core.credentials import Credentials
from mirrors_app.core.errors import BadConfiguration, UpstreamError
from mirrors_app.core.fetch import Fetcher, FetchSettings
from mirrors_app.core.ssrf import make_guard
from tests.mirrors_app.core.conftest import QUICK

BODY = b"x" * 5000


async def fetch(url: str, settings: FetchSettings, credentials: dict[str, Credentials] | None = None) -> bytes:
    async with Fetcher(settings, credentials or {}) as fetcher:
        return (await fetcher.read(url, max_bytes=10**6)).body or b""


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's certificate that is its own authority, in folder/ca.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nConnection: close\r\n\r\n" + BODY)
    await writer.drain()
    writer.close()


def test_a_ca_bundle_of_ones_own_is_trusted_and_only_it(tmp_path: Path) -> None:
    async def attempt() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificate(tmp_path))
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        async with server:
            assert await fetch(url, replace(QUICK, ca_bundle=tmp_path / "ca.pem")) == BODY
            assert await fetch(url, replace(QUICK, verify_tls=False)) == BODY
            with pytest.raises(UpstreamError, match="certificate"):
                await fetch(url, QUICK)

    asyncio.run(attempt())


def test_a_proxy_is_asked_for_every_upstream(tmp_path: Path) -> None:
    """http goes to it as an absolute address, https through CONNECT; the upstream itself is out of reach."""
    asked: list[bytes] = []

    async def attempt() -> None:
        inner = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificate(tmp_path))
        inner_port = inner.sockets[0].getsockname()[1]

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            asked.append(head.split(b"\r\n")[0])
            if not head.startswith(b"CONNECT "):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nConnection: close\r\n\r\n" + BODY)
                writer.close()
                return
            there, back = await asyncio.open_connection("127.0.0.1", inner_port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(pass_on(reader, back), pass_on(there, writer))

        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        way = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = replace(QUICK, proxy=way, guard=make_guard(networks=["127.0.0.0/8", "203.0.113.0/24"]), ca_bundle=tmp_path / "ca.pem")
        async with server, inner:
            assert await fetch("http://203.0.113.7/x", settings) == BODY
            assert await fetch(f"https://127.0.0.1:{inner_port}/x", settings) == BODY
        assert asked == [b"GET http://203.0.113.7/x HTTP/1.1", f"CONNECT 127.0.0.1:{inner_port} HTTP/1.1".encode()]

    asyncio.run(attempt())


async def pass_on(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            to.write(data)
            await to.drain()
    except ConnectionError:
        pass
    finally:
        to.close()


@pytest.fixture
def bucket() -> Iterator[str]:
    """An S3 server that verifies nothing but that a request is signed; its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def test_a_bucket_is_read_with_its_keys(bucket: str) -> None:
    keys = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret"}
    client = boto3.client("s3", endpoint_url=bucket, region_name="eu-central-1", **keys)
    client.create_bucket(Bucket="channel", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    client.put_object(Bucket="channel", Key="linux-64/a+b-1.0-0.conda", Body=BODY)
    found = Credentials(kind="s3", username="AKIATEST", secret="secret", region="eu-central-1", endpoint=bucket)
    url = "s3://channel/linux-64/a+b-1.0-0.conda"
    assert asyncio.run(fetch(url, QUICK, {"s3://channel/": found})) == BODY
    with pytest.raises(BadConfiguration):
        asyncio.run(fetch("s3://another/x", QUICK, {"s3://channel/": found}))
