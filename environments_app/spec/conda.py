"""The conda half of a specification: which channels, MatchSpecs and platforms may stand there."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from condahub.engine.versions import exact_name, parse_spec
from condahub.names import MAX_NAME_CHARS, NAME_PATTERN
from environments_app.spec.errors import Problem

MAX_MATCHSPEC_CHARS = 500
PLATFORMS = ("linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")
# Said by conda's own files, and without a meaning here: no channel is added that is not named.
NO_CHANNEL = "nodefaults"

_LOCAL = re.compile(r"^(?:\.{0,2}[/\\]|~|[A-Za-z]:[/\\])")
_PACKAGE_FILE = re.compile(r"\.(?:conda|tar\.bz2|whl|tar\.gz|zip)(?:\[|$|\s)")
_CHANNEL_DOORS = ("channels", "get")


def is_local_path(text: str) -> bool:
    """Whether it names something on a machine's own disk."""
    return _LOCAL.match(text) is not None or text.lower().startswith("file:")


def check_match_spec(text: str, line: int) -> tuple[Any, Problem | None]:
    """The MatchSpec with one exact package name, or what is wrong with it."""
    shown = text[:80]
    if len(text) > MAX_MATCHSPEC_CHARS:
        return None, Problem(line, "bad_dependency", f"A dependency has more than {MAX_MATCHSPEC_CHARS} characters.")
    if is_local_path(text):
        return None, Problem(line, "local_path", f"'{shown}' is a local path.", "Upload the package to a channel and name it there.")
    if "://" in text or re.search(r"\[.*\burl\s*=", text):
        return None, Problem(line, "url_dependency", f"'{shown}' is an address.", "Name the package, and its channel under 'channels'.")
    if _PACKAGE_FILE.search(text):
        return None, Problem(
            line, "url_dependency", f"'{shown}' is a file's name.", "Write name, version and build: 'python 3.11.9 h1234_0'."
        )
    spec = parse_spec(text)
    name = exact_name(spec) if spec is not None else None
    # The parser takes whatever follows the version for a build.
    if spec is None or name is None or any(character.isspace() for character in str(spec.build or "")):
        return None, Problem(
            line,
            "bad_dependency",
            f"'{shown}' can't be read as a package to install.",
            "For instance 'python 3.11.*' or 'numpy >=1.26,<2'.",
        )
    return spec, None


def channel_of_spec(spec: Any) -> str:
    """The channel that a MatchSpec names (`conda-forge::numpy`), '' for none."""
    channel = spec.channel
    return str(channel.name or "") if channel is not None else ""


def check_channel(text: str, line: int, public_url: str) -> tuple[str, Problem | None]:
    """The hub's name of the channel that is named by name or by its address on this hub; or what is wrong with it."""
    shown = text[:80]
    if is_local_path(text):
        return "", Problem(line, "local_path", f"'{shown}' is a local path.", "Channels are those of this hub, by name.")
    name = text
    if "://" in text:
        name = _name_in_address(text, public_url)
        if not name:
            return "", Problem(
                line,
                "foreign_channel",
                f"'{_without_secrets(text)}' is not an address of this hub.",
                "Name a channel of this hub; IT can mirror one.",
            )
    if len(name) > MAX_NAME_CHARS or NAME_PATTERN.fullmatch(name) is None:
        return "", Problem(line, "bad_channel", f"'{shown}' can't be the name of a channel.", "Channels are those of this hub, by name.")
    return name, None


def check_platform(text: str, line: int) -> Problem | None:
    if text in PLATFORMS:
        return None
    return Problem(line, "bad_platform", f"'{text[:40]}' is not a platform that is built for.", f"One of {', '.join(PLATFORMS)}.")


def _name_in_address(text: str, public_url: str) -> str:
    """The name in `<hub>/channels/<name>` or `<hub>/get/<name>`; '' for any other address."""
    try:
        asked, own = urlsplit(text), urlsplit(public_url)
    except ValueError:
        return ""
    if (asked.scheme, asked.netloc) != (own.scheme, own.netloc) or asked.query or asked.fragment:
        return ""
    parts = asked.path.removeprefix(own.path).strip("/").split("/")
    return parts[1] if len(parts) == 2 and parts[0] in _CHANNEL_DOORS else ""


def _without_secrets(text: str) -> str:
    """An address as it may be shown: user, password and token left out."""
    try:
        asked = urlsplit(text)
        return f"{asked.scheme}://{asked.hostname or ''}"[:80]
    except ValueError:
        return "This address"
