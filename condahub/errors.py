"""The one family of errors that a person or a client is ever shown: a stable code, a sentence, what to do, a status."""

from __future__ import annotations

from collections.abc import Mapping


class HubError(Exception):
    """A refusal or failure with an answer. Every door renders it in its own protocol's form.

    code: stable machine word; detail: a sentence for the person; hint: what to do about it;
    status: HTTP status (RFC 9110); headers: extra response headers such as Retry-After.
    """

    code = "error"
    status = 400
    hint = ""

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code
        if hint is not None:
            self.hint = hint
        if status is not None:
            self.status = status
        self.headers = dict(headers or {})

    def as_dict(self) -> dict[str, str]:
        """The body of our own API's errors: `{"code", "detail", "hint"}`."""
        return {"code": self.code, "detail": self.detail, "hint": self.hint}


class Invalid(HubError):
    """The request itself is wrong (400 unless said otherwise)."""

    code = "invalid"
    status = 400


class Unprocessable(Invalid):
    """Well-formed, but a value is missing or not acceptable (422)."""

    code = "unprocessable"
    status = 422


class NotAuthenticated(HubError):
    """Nobody, or a token that is not valid (401)."""

    code = "not_authenticated"
    status = 401
    hint = "Send a valid API token as 'Authorization: Bearer', 'X-API-Key' or '/t/<token>/'."

    def __init__(self, detail: str = "Sign in or send a valid API token.", **kwargs: object) -> None:
        super().__init__(detail, **kwargs)  # type: ignore[arg-type]
        self.headers.setdefault("WWW-Authenticate", 'Basic realm="condahub"')


class Forbidden(HubError):
    """Known, but without the right; the same answer for hidden and unknown objects (403)."""

    code = "forbidden"
    status = 403
    hint = "Ask an owner of it for a grant, or use a token with the scope that is needed."

    def __init__(self, detail: str = "You may not do this, or it does not exist.", **kwargs: object) -> None:
        super().__init__(detail, **kwargs)  # type: ignore[arg-type]


class NotFound(HubError):
    """Not there, said only to those who may know (404)."""

    code = "not_found"
    status = 404


class Conflict(HubError):
    """The state does not allow it (409)."""

    code = "conflict"
    status = 409


class Gone(HubError):
    """Was there and is not any more, for good (410)."""

    code = "gone"
    status = 410


class TooLarge(HubError):
    """The body is past a limit (413)."""

    code = "too_large"
    status = 413


class Throttled(HubError):
    """Too many requests (429)."""

    code = "throttled"
    status = 429


class Unavailable(HubError):
    """Something this hub stands on does not answer; try again (503)."""

    code = "unavailable"
    status = 503

    def __init__(self, detail: str, *, retry_after_seconds: int = 10, **kwargs: object) -> None:
        super().__init__(detail, **kwargs)  # type: ignore[arg-type]
        self.headers.setdefault("Retry-After", str(retry_after_seconds))


class StorageFull(HubError):
    """No room to store the bytes (507, RFC 4918)."""

    code = "storage_full"
    status = 507
    hint = "The operator must free space; reads go on."

    def __init__(self, detail: str = "The hub's storage is full.", **kwargs: object) -> None:
        super().__init__(detail, **kwargs)  # type: ignore[arg-type]
        self.headers.setdefault("Retry-After", "60")


class QuotaExceeded(HubError):
    """The organization's or channel's quota does not hold these bytes (413 with its own code)."""

    code = "quota_exceeded"
    status = 413
    hint = "Delete and purge old packages, or ask IT for a larger quota."
