"""Which hub is meant and with which token: from options, the environment, and a file that only its owner can read."""

from __future__ import annotations

import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import platformdirs
import yaml

from condahub.cli.exits import Usage

# The alphabet that every hub's tokens keep to; anything else would also be no HTTP header value.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{8,512}")
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass
class Configuration:
    """The file's content. hubs: address -> {"token", "user"}; default: the address that is meant when none is said."""

    path: Path
    default: str = ""
    hubs: dict[str, dict[str, str]] = field(default_factory=dict)

    def save(self) -> None:
        """Write the file as a whole, readable by its owner alone from its first byte on."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        text = yaml.safe_dump({"default": self.default, "hubs": self.hubs}, sort_keys=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(draft, self.path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise


def path() -> Path:
    """`CONDAHUB_CONFIG`, else `config.yaml` in the person's own configuration folder."""
    named = os.environ.get("CONDAHUB_CONFIG")
    return Path(named) if named else Path(platformdirs.user_config_dir("condahub")) / "config.yaml"


def load() -> Configuration:
    """The file's content; an absent one is empty. Raises Usage for one that can't be read."""
    file = path()
    try:
        text = file.read_text(encoding="utf-8")
        mode = file.stat().st_mode
    except FileNotFoundError:
        return Configuration(file)
    except OSError as error:
        raise Usage(f"{file} can't be read: {error.strerror}.") from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        click.secho(f"{file} holds tokens and can be read by others; run: chmod 600 {file}", fg="yellow", err=True)
    try:
        content: Any = yaml.safe_load(text) or {}
        hubs = {str(url): {str(key): str(value) for key, value in hub.items()} for url, hub in (content.get("hubs") or {}).items()}
        return Configuration(file, str(content.get("default") or ""), hubs)
    except (yaml.YAMLError, AttributeError):
        # The parser's own message would quote the line, and with it a token.
        raise Usage(f"{file} is not a valid configuration file.", hint="Mend it, or remove it and run: condahub login URL") from None


def normalise(url: str) -> str:
    """`hub.example/` -> `https://hub.example`. Raises Usage for what is no address of a hub."""
    text = url.strip()
    if "://" not in text:
        host = text.split("/", 1)[0].rsplit(":", 1)[0].strip("[]")
        text = f"{'http' if host in _LOCAL_HOSTS else 'https'}://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Usage(f"'{url}' is not the address of a hub.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Usage(f"'{url}' is not the address of a hub.", hint="It looks like https://hub.example.org")
    if parts.username or parts.password or "/t/" in f"{parts.path}/":
        raise Usage("The address of a hub holds no token or password.", hint="Give the address alone; the token is asked for.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def is_plain(url: str) -> bool:
    """Whether a token sent there can be read by everybody on the way."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in _LOCAL_HOSTS


def check_token(token: str) -> str:
    """The token without the white space around it. Raises Usage for what can't be one."""
    token = token.strip()
    if _TOKEN.fullmatch(token) is None:
        raise Usage("That is not an API token.", hint="It looks like chub-user-… and is shown once, when it is created.")
    return token


def hub_url(option: str | None, configuration: Configuration) -> str:
    """`--hub`, else `CONDAHUB_URL`, else the hub of the last login. Raises Usage when there is none."""
    url = option or os.environ.get("CONDAHUB_URL") or configuration.default
    if not url:
        raise Usage("Which hub?", hint="Run: condahub login URL   (or set CONDAHUB_URL, or give --hub URL)")
    return normalise(url)


def token_for(url: str, option: str | None, configuration: Configuration) -> str | None:
    """`--token`, else `CONDAHUB_TOKEN`, else what `CONDAHUB_TOKEN_FILE` names, else the one of the login at that hub."""
    if option:
        return check_token(option)
    if token := os.environ.get("CONDAHUB_TOKEN"):
        return check_token(token)
    if name := os.environ.get("CONDAHUB_TOKEN_FILE"):
        try:
            return check_token(Path(name).read_text(encoding="utf-8"))
        except OSError as error:
            raise Usage(f"CONDAHUB_TOKEN_FILE {name} can't be read: {error.strerror}.") from error
    stored = configuration.hubs.get(url, {}).get("token")
    return check_token(stored) if stored else None
