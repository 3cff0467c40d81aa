"""Tells by its first lines what a specification is, and hands it to its reader."""

from __future__ import annotations

import re

from environments_app.models import SpecificationKind
from environments_app.spec.environment_yaml import read_environment
from environments_app.spec.errors import Problem, SpecInvalid
from environments_app.spec.model import Spec

_HEAD_CHARS = 4096
_PIXI = re.compile(r"^version:\s*[0-9]+\s*\n(?:.*\n)*?environments:", re.MULTILINE)
_CONDA_LOCK = re.compile(r"^(?:version:\s*1\s*$|metadata:\s*$)", re.MULTILINE)


def kind_of(text: str) -> SpecificationKind:
    """By signature; what is none of the lock files is taken for an environment.yml."""
    head = text[:_HEAD_CHARS]
    if re.search(r"^@EXPLICIT\s*$", head, re.MULTILINE):
        return SpecificationKind.EXPLICIT
    if _PIXI.search(head):
        return SpecificationKind.PIXI_LOCK
    if _CONDA_LOCK.search(head) and "content_hash:" in head:
        return SpecificationKind.CONDA_LOCK
    return SpecificationKind.YAML


def parse(text: str, *, public_url: str) -> tuple[SpecificationKind, Spec]:
    """What it is and what it says. Raises SpecInvalid, also for a lock file, which this hub does not build from yet."""
    kind = kind_of(text)
    if kind is not SpecificationKind.YAML:
        raise SpecInvalid(
            [
                Problem(
                    1,
                    "lock_not_read",
                    f"This is a lock file ({kind.label}); they are not taken yet.",
                    "Send the environment.yml it was made from.",
                )
            ]
        )
    return kind, read_environment(text, public_url=public_url)
