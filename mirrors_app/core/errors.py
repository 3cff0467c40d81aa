"""Why an upstream could not be read: one class for each thing that a run decides on."""

from __future__ import annotations

from condahub.errors import HubError


class UpstreamError(HubError):
    """The upstream did not give what was asked for (502)."""

    code = "upstream_failed"
    status = 502
    hint = "Look whether the upstream answers; the next run goes on where this one stopped."


class UpstreamMissing(UpstreamError):
    """The upstream says that there is no such file (404 or 410)."""

    code = "upstream_missing"


class UpstreamDenied(UpstreamError):
    """The upstream wants other credentials (401 or 403)."""

    code = "upstream_denied"
    hint = "Check the mirror's credentials and that they may read this channel."


class UpstreamTooLarge(UpstreamError):
    """A body, compressed or not, is past a limit."""

    code = "upstream_too_large"
    hint = "If the upstream really is that large, raise the limit."


class UpstreamBroken(UpstreamError):
    """What came is not what was promised: hash, size or format."""

    code = "upstream_broken"


class ForbiddenAddress(UpstreamError):
    """The address is a private, loopback, link-local or multicast one that is not allowed."""

    code = "forbidden_address"
    hint = "If this host is meant, allow its network or name."


class WindowClosed(UpstreamError):
    """It is outside the hours in which the mirror may download."""

    code = "window_closed"
    hint = "The next run within the allowed hours goes on."


class Cancelled(HubError):
    """Somebody stopped the run."""

    code = "cancelled"
    status = 409


class BadConfiguration(HubError):
    """The mirror's settings can't be followed (422)."""

    code = "bad_mirror_configuration"
    status = 422
