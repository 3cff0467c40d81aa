"""Reads what a person asks for as conda does, and holds it to the environment's own channels."""

from __future__ import annotations

from collections.abc import Sequence

from rattler import MatchSpec

from condahub.engine.addresses import Addresses
from condahub.engine.protocol import Channel
from condahub.errors import Unprocessable

MAX_SPEC_CHARS = 1000


def match_spec(text: str, channels: Sequence[Channel]) -> MatchSpec:
    """The spec, its channel (`name::python`, or by its address) one of those given.

    `python 3.11` means that version, as conda has it. Unprocessable (`invalid_spec`) for what is no spec, names another
    channel, or is the address of a file: the solver would fetch that from wherever it lies.
    """
    if len(text) > MAX_SPEC_CHARS:
        raise _refused(text, f"it is longer than {MAX_SPEC_CHARS} characters")
    parsed = _parsed(text)
    if "url=" in parsed.to_canonical_string():
        raise _refused(text, "packages are named, not addressed")
    if parsed.channel is None:
        return parsed
    channel = _channel(parsed, channels)
    if channel is None:
        raise _refused(text, "its channel is not one of the environment's")
    written = str(parsed)
    said = parsed.channel.name or ""
    if written.startswith(f"{said}::"):
        return _parsed(f"{Addresses.index(channel)}::{written.removeprefix(f'{said}::')}")
    return _parsed(written.replace(f'channel="{parsed.channel.base_url}"', f'channel="{Addresses.index(channel)}"'))


def _parsed(text: str) -> MatchSpec:
    try:
        return MatchSpec(text, strict=False)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise _refused(text, str(error)[:300]) from None


def _refused(text: str, reason: str) -> Unprocessable:
    return Unprocessable(f"'{text[:200]}' can't be asked for: {reason}.", code="invalid_spec")


def _channel(parsed: MatchSpec, channels: Sequence[Channel]) -> Channel | None:
    said = parsed.channel
    if said is None:
        return None
    by_address = {address.rstrip("/"): channel for channel in channels for address in (channel.address, channel.public_address) if address}
    by_address |= {Addresses.index(channel).rstrip("/"): channel for channel in channels}
    base = str(said.base_url).rstrip("/")
    if base in by_address:
        return by_address[base]
    # A bare name: what the library takes it to be the address of, elsewhere, does not matter.
    is_bare = str(parsed).startswith(f"{said.name}::")
    return next((channel for channel in channels if is_bare and channel.name == said.name), None)
