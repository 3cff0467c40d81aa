"""How a mirror proves to an upstream who it is; nothing of it is ever sent to another origin or printed."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from mirrors_app.core.errors import BadConfiguration

Kind = Literal["none", "token", "basic", "bearer", "api_key", "s3"]
_PATH_TOKEN = re.compile(r"^/t/([^/]+)(?=/|$)")
DEFAULT_REGION = "us-east-1"
PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """token: put into the path as /t/<token> (conda's way); basic: username and secret; bearer, api_key: secret in a header;
    s3: username is the access key, secret the secret key, signed with SigV4; endpoint '' means AWS's own.
    """

    kind: Kind = "none"
    username: str = ""
    secret: str = field(default="", repr=False)
    region: str = DEFAULT_REGION
    endpoint: str = ""

    def headers(self) -> dict[str, str]:
        """What goes with each request to the upstream's own origin."""
        if self.kind == "basic":
            pair = f"{self.username}:{self.secret}".encode()
            return {"Authorization": "Basic " + base64.b64encode(pair).decode()}
        if self.kind == "bearer":
            return {"Authorization": f"Bearer {self.secret}"}
        if self.kind == "api_key":
            return {"X-API-Key": self.secret}
        return {}

    def address(self, url: str) -> str:
        """The URL that is really asked for: with the token in its path."""
        if self.kind != "token":
            return url
        parts = urlsplit(url)
        return urlunsplit(parts._replace(path=f"/t/{quote(self.secret, safe='')}{parts.path}"))


def split_credentials(url: str, given: Credentials) -> tuple[str, Credentials]:
    """Take a token or a password out of an address, so that it can be shown; what was given apart wins."""
    parts = urlsplit(url)
    found = given
    if parts.username is not None:
        if given.kind == "none":
            found = Credentials(kind="basic", username=unquote(parts.username), secret=unquote(parts.password or ""))
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    token = _PATH_TOKEN.match(parts.path)
    if token is not None:
        if given.kind == "none":
            found = Credentials(kind="token", secret=unquote(token[1]))
        parts = parts._replace(path=parts.path[token.end() :] or "/")
    return urlunsplit(parts), found


def origin(url: str) -> Origin:
    """Scheme, host and port: what credentials belong to."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise BadConfiguration("The address has a port that is none.") from error
    return (parts.scheme, (parts.hostname or "").lower(), port or PORTS.get(parts.scheme, 0))


def s3_address(url: str, credentials: Credentials) -> str:
    """s3://bucket/key -> the object's https address: in the path for an endpoint of one's own, else as AWS has it."""
    parts = urlsplit(url)
    key = quote(unquote(parts.path), safe="/~")
    if credentials.endpoint:
        return f"{credentials.endpoint.rstrip('/')}/{parts.netloc}{key}"
    return f"https://{parts.netloc}.s3.{credentials.region}.amazonaws.com{key}"


def s3_headers(url: str, credentials: Credentials, headers: dict[str, str]) -> dict[str, str]:
    """The same headers signed with SigV4, the body left out of the signature. Raises BadConfiguration without botocore."""
    if credentials.kind != "s3":
        return headers
    try:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials as Keys
    except ImportError as error:
        raise BadConfiguration("S3 keys need the package botocore.", hint="Install condahub[server], or boto3 beside condahub.") from error
    request = AWSRequest(method="GET", url=url, headers=dict(headers))
    S3SigV4Auth(Keys(credentials.username, credentials.secret), "s3", credentials.region).add_auth(request)
    return {str(name): str(value) for name, value in request.headers.items()}


def without_secret(credentials: Credentials) -> Credentials:
    """For showing."""
    return replace(credentials, secret="")
