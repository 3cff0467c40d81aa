"""Whether this container's server answers: its health check, of the standard library alone so that asking often costs little."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

ANSWER_SECONDS = 4


def main() -> int:
    """0 when the web process or the byte-serving one answers on this machine, else 1."""
    for variable in ("PORT", "CONDAHUB_DATA_PORT"):
        port = os.environ.get(variable, "")
        if port.isdigit():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=ANSWER_SECONDS):  # noqa: S310  # a fixed scheme
                    return 0
            except (urllib.error.URLError, OSError):
                continue
    return 1


if __name__ == "__main__":
    sys.exit(main())
