"""The programs from outside the wheels that some tests need: found, skipped over, or (with CONDAHUB_REQUIRE=all) demanded.

`python -m tests.parts` prints the table; `python -m tests.parts --missing` prints the Debian packages that would complete it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from condahub.engine import sandbox

SKIP_PREFIX = "missing part: "

# Servers are installed where an ordinary user's PATH does not look.
_SEARCH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/local/sbin"])


@dataclass(frozen=True)
class Part:
    """A program and the Debian package that brings it."""

    binary: str
    package: str

    @property
    def path(self) -> str | None:
        """Where it is on this machine, or None."""
        return shutil.which(self.binary, path=_SEARCH)

    @property
    def how(self) -> str:
        return f"Debian's {self.package}; `make test-system` installs it"


@dataclass(frozen=True)
class Module(Part):
    """A Python package that has to be built here (`make ldap`), and the Debian packages that needs."""

    @property
    def path(self) -> str | None:
        found = importlib.util.find_spec(self.binary)
        return None if found is None else str(found.origin)

    @property
    def how(self) -> str:
        return "`make test-system` builds it"


PARTS = {
    part.binary: part
    for part in (
        Part("nginx", "nginx-light"),
        Part("redis-server", "redis-server"),
        Part("wrk", "wrk"),
        Part("chromium", "chromium"),
        Part("slapd", "slapd"),
        Part("ldapsearch", "ldap-utils"),
        Part("skopeo", "skopeo"),
        Part("bwrap", "bubblewrap"),
        Part("xgettext", "gettext"),
        Module("ldap", "gcc libldap2-dev libsasl2-dev"),
    )
}


def all_required() -> bool:
    """Whether a missing part fails the run (`CONDAHUB_REQUIRE=all`)."""
    return os.environ.get("CONDAHUB_REQUIRE", "") == "all"


def require_part(name: str) -> str:
    """The path of the program `name`; skips the running test where it is missing, or fails it when all parts are demanded."""
    part = PARTS[name]
    path = part.path
    if path is not None:
        return path
    reason = f"{SKIP_PREFIX}{name} ({part.how})"
    if all_required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def require_sandbox() -> None:
    """Skip, or fail, the running test where packages' code can't be run in a sandbox."""
    require_part("bwrap")
    sentence, hint = sandbox.problem()
    if sentence and all_required():
        pytest.fail(f"{sentence} {hint}", pytrace=False)
    if sentence:
        pytest.skip(f"{SKIP_PREFIX}bwrap ({sentence})")


def table(skipped: dict[str, int]) -> list[str]:
    """One line a part: its name, where it is, and how many tests (`skipped`, by name) did without it."""
    lines = []
    for name, part in PARTS.items():
        without = f"{skipped[name]} skipped" if skipped.get(name) else ""
        lines.append(f"{name:<14} {part.path or 'missing':<28} {without}".rstrip())
    return lines


def main() -> None:
    """Print the table, or with `--missing` the packages to install."""
    if "--missing" in sys.argv[1:]:
        print(" ".join(sorted({part.package for part in PARTS.values() if part.path is None})))
    else:
        print("\n".join(table({})))


if __name__ == "__main__":
    main()
