"""The lines that people paste to use a channel, to install a package, and to publish one."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from channels_app import selectors
from channels_app.models import Channel, PackageFile
from condahub.accounts.policy import Actor, Permission
from condahub.accounts.services import NewToken
from condahub.errors import HubError
from condahub.portal.paste import TOKEN_PLACEHOLDER, Line, Paste, token_path


def address(channel: Channel, secret: str = "") -> str:
    """Where clients find the channel; with a token's placeholder where one is needed."""
    hub: str = settings.CONDAHUB_PUBLIC_URL
    if channel.visibility == "public":
        return f"{hub}/channels/{channel.name}"
    return f"{hub}/t/{secret or TOKEN_PLACEHOLDER}/channels/{channel.name}"


def use(channel: Channel, secret: str = "") -> Paste:
    """Adding the channel to a client."""
    there, plain = address(channel, secret), f"{settings.CONDAHUB_PUBLIC_URL}/channels/{channel.name}"
    pixi = f'pixi workspace channel add "{plain}"'
    return Paste(
        [
            Line("conda", f'conda config --add channels "{there}"'),
            Line("mamba", f'mamba config append channels "{there}"'),
            Line("pixi", _signed_in_to_pixi(channel, secret, pixi)),
            Line("curl", f'curl -fsS {_header(channel, secret)}"{plain}/noarch/repodata.json"'),
        ],
        title=_("Use this channel"),
        token_path=_token_path(channel, secret, "read"),
    )


def install(channel: Channel, package: str, file: PackageFile | None) -> Paste:
    """Installing one package of it. file: one to download, for curl."""
    there, plain = address(channel), f"{settings.CONDAHUB_PUBLIC_URL}/channels/{channel.name}"
    lines = [
        Line("conda", f'conda install -c "{there}" {package}'),
        Line("mamba", f'mamba install -c "{there}" {package}'),
        Line("pixi", _signed_in_to_pixi(channel, "", f'pixi workspace channel add "{plain}"\npixi add {package}')),
    ]
    if file is not None:
        lines.append(Line("curl", f'curl -fsSO {_header(channel, "")}"{plain}/{file.subdir}/{file.filename}"'))
    return Paste(lines, title=_("Install"), token_path=_token_path(channel, "", "read"))


def publish(channel: Channel, secret: str = "") -> Paste:
    """Publishing into it by a program."""
    hub: str = settings.CONDAHUB_PUBLIC_URL
    token = secret or TOKEN_PLACEHOLDER
    door = f"{hub}/api/hub/v1/channels/{channel.name}/upload/FILE.conda"
    return Paste(
        [
            Line("condahub", f"condahub login {hub}\ncondahub upload {channel.name} *.conda"),
            Line("rattler-build", f'rattler-build upload quetz --url "{hub}" --channel {channel.name} --api-key "{token}" *.conda'),
            Line("curl", f'curl -fsS -H "Authorization: Bearer {token}" --data-binary @FILE.conda "{door}"'),
        ],
        title=_("Publish from a terminal or from CI"),
        token_path="" if secret else token_path(channel.name, "upload"),
        name="publisher",
    )


def with_secret(actor: Actor, channel: str, made: NewToken) -> list[Paste]:
    """What a token just made for this channel is good for."""
    try:
        found = selectors.channel_for(actor, channel, Permission.CHANNEL_READ)
    except HubError:
        return []
    pastes = [use(found, made.secret)] if made.token.allows(Permission.CHANNEL_READ) else []
    return [*pastes, publish(found, made.secret)] if made.token.allows(Permission.PACKAGE_UPLOAD) else pastes


def _token_path(channel: Channel, secret: str, purpose: str) -> str:
    return "" if secret or channel.visibility == "public" else token_path(channel.name, purpose)


def _header(channel: Channel, secret: str) -> str:
    return "" if channel.visibility == "public" else f'-H "Authorization: Bearer {secret or TOKEN_PLACEHOLDER}" '


def _signed_in_to_pixi(channel: Channel, secret: str, line: str) -> str:
    """pixi keeps tokens itself, by host."""
    if channel.visibility == "public":
        return line
    host = urlsplit(settings.CONDAHUB_PUBLIC_URL).netloc
    return f'pixi auth login {host} --token "{secret or TOKEN_PLACEHOLDER}"\n{line}'
