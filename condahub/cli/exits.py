"""How the command ends when something is wrong: one sentence, one hint, one exit code, never a traceback."""

from __future__ import annotations

import json
from typing import IO, Any

import click

from condahub.accounts.secrets import mask

REFUSED = 1  # the hub said no, or the work failed
USAGE = 2  # the command line or the configuration is wrong
UNREACHABLE = 3  # the hub did not answer, after retries
SIGNED_OUT = 4  # no token, or one that is not valid
INTERRUPTED = 130


class Failure(click.ClickException):
    """What the person is told. detail: a sentence; hint: what to do; code: the hub's stable word for it."""

    exit_code: int  # type: ignore[misc]  # click's own is a class variable that it lets instances set

    def __init__(self, detail: str, *, hint: str = "", code: str = "failed", exit_code: int = REFUSED, status: int = 0) -> None:
        super().__init__(mask(detail))
        self.hint = mask(hint)
        self.code = code
        self.exit_code = exit_code
        self.status = status
        # Asked now: when the failure is shown, the command's context is gone.
        context = click.get_current_context(silent=True)
        self._as_json = context is not None and bool(context.find_root().meta.get("condahub.json"))

    def as_dict(self) -> dict[str, str]:
        """The same shape as the hub's own errors."""
        return {"code": self.code, "detail": self.message, "hint": self.hint}

    def show(self, file: IO[Any] | None = None) -> None:
        if self._as_json:
            click.echo(json.dumps(self.as_dict()), err=True)
            return
        click.secho(self.message, fg="red", err=True)
        if self.hint:
            click.secho(self.hint, dim=True, err=True)


class Usage(Failure):
    """The command line or the configuration has to be changed first."""

    def __init__(self, detail: str, *, hint: str = "") -> None:
        super().__init__(detail, hint=hint, code="usage", exit_code=USAGE)


class Unreachable(Failure):
    """The hub did not answer."""

    def __init__(self, detail: str, *, hint: str = "") -> None:
        super().__init__(detail, hint=hint, code="unreachable", exit_code=UNREACHABLE)
