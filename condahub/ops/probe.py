"""Whether a server answers: the container's health check, of the standard library alone so that asking often costs little."""

from __future__ import annotations

import http.client
import os
import sys
from urllib.parse import urlsplit

ANSWER_SECONDS = 4


def answers(host: str, port: int, seconds: float = ANSWER_SECONDS) -> bool:
    """Whether the process that listens there says that it lives."""
    # Listening on every address includes the loopback ones.
    connection = http.client.HTTPConnection({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port, timeout=seconds)  # noqa: S104
    # The hub answers to its public name only.
    named = urlsplit(os.environ.get("CONDAHUB_PUBLIC_URL", "")).netloc
    try:
        connection.request("GET", "/livez", headers={"Host": named} if named else {})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main() -> int:
    """0 when the web process or the byte-serving one answers on this machine, else 1."""
    ports = [os.environ.get(variable, "") for variable in ("PORT", "CONDAHUB_DATA_PORT")]
    return 0 if any(answers("127.0.0.1", int(port)) for port in ports if port.isdigit()) else 1


if __name__ == "__main__":
    sys.exit(main())
