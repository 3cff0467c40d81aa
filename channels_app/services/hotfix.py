"""Hotfixes: patch_instructions.json applied to a channel's records, with conda's semantics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from django.db import transaction

from channels_app import selectors
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.index.render import FIXED_KEYS
from channels_app.models import Channel, FileState, PackageFile
from channels_app.models.files import OCCUPYING_STATES
from channels_app.policies.view import VERDICT_FIELDS, stamp, view_of
from channels_app.services import packages
from condahub.accounts.policy import Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.errors import NotFound, Unprocessable
from condahub.packages.errors import shown
from condahub.packages.metadata import CONTROL_CHARACTERS, MAX_REQUIREMENT_CHARS, REQUIREMENT, IndexJson
from condahub.packages.record import canonical_json

CONDA, TAR = ".conda", ".tar.bz2"
KNOWN_KEYS = frozenset({"packages", "packages.conda", "patch_instructions_version", "remove", "revoke"})
CHUNK_NAMES = 500
# What a patch can't change, so that the rest of it can be checked as a record is.
_SOME_IDENTITY = {"name": "some", "version": "0", "build": "0", "build_number": 0}


@dataclass
class Plan:
    """What the instructions come to: per filename, the patched keys (None removes one), and who is revoked or removed."""

    patches: dict[str, dict[str, Any]] = field(default_factory=dict)
    revoke: set[str] = field(default_factory=set)
    remove: set[str] = field(default_factory=set)

    @property
    def filenames(self) -> set[str]:
        return set(self.patches) | self.revoke | self.remove


def read_instructions(instructions: Any) -> Plan:
    """Check patch_instructions and spread `.tar.bz2` fixes to the `.conda` of the same stem. Raises Unprocessable."""
    if not isinstance(instructions, dict):
        raise _unreadable("The instructions must be a JSON object.")
    if unknown := sorted(set(instructions) - KNOWN_KEYS):
        raise _unreadable(f"The instructions have {', '.join(one[:40] for one in unknown[:5])}, which means nothing here.")
    plan = Plan()
    for section, extension in (("packages", TAR), ("packages.conda", CONDA)):
        entries = instructions.get(section, {})
        if not isinstance(entries, dict):
            raise _unreadable(f"'{section}' must be an object of filenames.")
        for filename, patch in entries.items():
            _check_patch(filename, patch, extension)
            if extension == TAR:
                plan.patches.setdefault(filename.removesuffix(TAR) + CONDA, {}).update(patch)
            plan.patches.setdefault(filename, {}).update(patch)
    for section, chosen in (("revoke", plan.revoke), ("remove", plan.remove)):
        names = instructions.get(section, [])
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise _unreadable(f"'{section}' must be a list of filenames.")
        for name in names:
            chosen.add(name)
            if name.endswith(TAR):
                chosen.add(name.removesuffix(TAR) + CONDA)
    return plan


def _check_patch(filename: str, patch: Any, extension: str) -> None:
    if not isinstance(patch, dict):
        raise _unreadable(f"The patch of '{filename}' must be an object.")
    if not filename.endswith(extension):
        raise _unreadable(f"'{filename}' stands in the section of {extension} files.")
    fixed = sorted(FIXED_KEYS & set(patch))
    if fixed:
        raise Unprocessable(
            f"The patch of '{filename}' would change {', '.join(fixed)}.",
            code="patch_fixed_key",
            hint="A hotfix can change what a package needs and says, never which bytes it is or where they lie.",
        )
    _check_values(filename, patch)


def _check_values(filename: str, patch: dict[str, Any]) -> None:
    """What can't be written into every form of the index, or read by its clients, would take the whole subdir with it."""
    given = {key: value for key, value in patch.items() if value is not None}
    try:
        canonical_json(given)
        checked = msgspec.convert({**_SOME_IDENTITY, **given}, IndexJson)
    except (TypeError, ValueError) as error:
        raise _unreadable(f"The patch of '{filename}' holds what no record can: {shown(str(error))}.") from None
    for text in (*checked.depends, *checked.constrains):
        if len(text) > MAX_REQUIREMENT_CHARS or CONTROL_CHARACTERS.search(text) or REQUIREMENT.fullmatch(text) is None:
            raise _unreadable(f"'{shown(text)}' in the patch of '{filename}' is not a requirement.")


def _unreadable(detail: str) -> Unprocessable:
    return Unprocessable(
        detail, code="patch_unreadable", hint="Send the form of patch_instructions.json: packages, packages.conda, revoke, remove."
    )


def apply(*, actor: Actor, channel: Channel, subdir: str, instructions: Any) -> list[PackageFile]:
    """Apply patch instructions to a subdir as one change; the files that changed.

    A filename that nothing answers to is an error when its `.conda` or `.tar.bz2` twin does not either. Raises Forbidden,
    NotFound, Unprocessable.
    """
    require(actor, Permission.PACKAGE_PATCH, channel)
    plan = read_instructions(instructions)
    with transaction.atomic():
        channel = selectors.lock(channel)
        files = _files(channel, subdir, sorted(plan.filenames))
        _require_known(plan.filenames, files)
        changed = [file for file in files.values() if _change(plan, file)]
        if changed:
            rejudged = stamp(view_of(channel, names={file.name for file in changed}), changed)
            PackageFile.objects.bulk_update(changed, ["patch", "revoked", "state", "reason", *VERDICT_FIELDS], batch_size=200)
            told = {file.name for file in changed if file.state == FileState.YANKED or "depends" in plan.patches.get(file.filename, {})}
            packages.refresh(channel, told | {file.name for file in rejudged})
            if rejudged:
                selectors.bump(channel)
            mark_dirty(channel.pk, [(file.subdir, file.name) for file in changed], cause=f"hotfix of {len(changed)} files by {actor.label}")
            audit(
                actor=actor,
                action="package.hotfix",
                target=f"channel:{channel.name}/{subdir}",
                organization_id=channel.organization_id,
                details={"files": sorted(file.filename for file in changed)[:200], "count": len(changed)},
            )
    publish_dirty(channel.pk)
    return changed


def _files(channel: Channel, subdir: str, filenames: Sequence[str]) -> dict[str, PackageFile]:
    found: dict[str, PackageFile] = {}
    for start in range(0, len(filenames), CHUNK_NAMES):
        rows = PackageFile.objects.filter(
            channel=channel, subdir=subdir, filename__in=filenames[start : start + CHUNK_NAMES], state__in=OCCUPYING_STATES
        )
        found.update((file.filename, file) for file in rows)
    return found


def _require_known(filenames: Iterable[str], files: dict[str, PackageFile]) -> None:
    for filename in sorted(filenames):
        twin = filename.removesuffix(CONDA) + TAR if filename.endswith(CONDA) else filename.removesuffix(TAR) + CONDA
        if filename not in files and twin not in files:
            raise NotFound(
                f"There is no '{filename}' to fix here.", code="no_such_file", hint="Nothing was changed; leave it out or publish it first."
            )


def _change(plan: Plan, file: PackageFile) -> bool:
    before = (file.patch, file.revoked, file.state)
    if file.filename in plan.patches:
        merged: dict[str, Any] = msgspec.json.decode(file.patch) if file.patch else {}
        merged.update(plan.patches[file.filename])
        file.patch = canonical_json(merged).decode()
    if file.filename in plan.revoke:
        file.revoked = True
    if file.filename in plan.remove and file.state == FileState.LIVE:
        file.state, file.reason = FileState.YANKED, "removed by hotfix"
    return before != (file.patch, file.revoked, file.state)
