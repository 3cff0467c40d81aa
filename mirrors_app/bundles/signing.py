"""The hub's keys: those that sign its bundles, and those whose bundles it was told to take. For staff."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from condahub.accounts.policy import HUB, Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.errors import Conflict, NotFound
from condahub.vault import seal, unseal
from mirrors_app.bundles.core import keys
from mirrors_app.bundles.core.keys import PrivateKey, Rotation, Trusted
from mirrors_app.models import SigningKey, TrustedKey

PURPOSE = "bundle-key"


def create_key(*, actor: Actor, name: str, afresh: bool = False) -> SigningKey:
    """Make the hub's first key. Raises Forbidden, Conflict where one signs already.

    afresh: begin anew with a key that no other vouches for, as when the one before got into wrong hands.
    """
    require(actor, Permission.HUB_OPERATE, HUB)
    name = keys.check_name(name)
    with transaction.atomic():
        current = SigningKey.objects.select_for_update().filter(signs=True).first()
        if current is not None and afresh:
            SigningKey.objects.filter(pk=current.pk).update(signs=False)
        elif current is not None:
            raise Conflict(
                f"The key '{current.name}' signs already.",
                code="key_exists",
                hint="Let a new one follow it: condahub keys rotate. Importers then need not be told of a stranger.",
            )
        return _make(actor, name, PrivateKey.generate(), "key.create")


def rotate_key(*, actor: Actor, name: str) -> SigningKey:
    """Let a new key sign, named by the one before. Raises Forbidden, NotFound, Conflict."""
    require(actor, Permission.HUB_OPERATE, HUB)
    name = keys.check_name(name)
    with transaction.atomic():
        old = SigningKey.objects.select_for_update().filter(signs=True).first()
        if old is None:
            raise NotFound("No key signs here yet.", code="no_key", hint="Make one: condahub keys create.")
        new = PrivateKey.generate()
        statement = keys.rotate(old=private_of(old), new=new, name=name, made_at=timezone.now())
        SigningKey.objects.filter(pk=old.pk).update(signs=False)
        return _make(actor, name, new, "key.rotate", rotation=statement.as_dict(), follows=old)


def _make(actor: Actor, name: str, key: PrivateKey, action: str, **values: Any) -> SigningKey:
    if SigningKey.objects.filter(name=name).exists():
        raise Conflict(f"There is a key '{name}' already.", code="key_exists")
    sealed = seal(key.to_pem().decode(), purpose=PURPOSE)
    made = SigningKey.objects.create(name=name, public=key.public, sealed=sealed, created_by=actor.label, **values)
    audit(actor=actor, action=action, target=f"key:{name}", details={"public": key.public})
    return made


def revoke_key(*, actor: Actor, key: SigningKey) -> None:
    """The key signs no more, and its private half is gone. Bundles that it signed stay as they are: importers are told by people."""
    require(actor, Permission.HUB_OPERATE, HUB)
    with transaction.atomic():
        SigningKey.objects.filter(pk=key.pk).update(signs=False, sealed="", revoked_at=timezone.now())
        audit(actor=actor, action="key.revoke", target=f"key:{key.name}", details={"public": key.public})


def signing_key() -> SigningKey:
    """The key that signs. Raises Conflict where there is none."""
    found = SigningKey.objects.filter(signs=True).first()
    if found is None:
        raise Conflict("No key signs bundles here yet.", code="no_key", hint="Staff makes one: condahub keys create NAME.")
    return found


def private_of(key: SigningKey) -> PrivateKey:
    """Raises Unsealable."""
    return PrivateKey.from_pem(unseal(key.sealed, purpose=PURPOSE).encode())


def rotations_of(key: SigningKey) -> list[dict[str, Any]]:
    """The statements that lead to a key from the first one, in order."""
    found: list[dict[str, Any]] = []
    current: SigningKey | None = key
    while current is not None and current.rotation and len(found) < keys.MAX_ROTATIONS:
        found.insert(0, current.rotation)
        current = current.follows
    return found


def trust(*, actor: Actor, name: str, public: str) -> TrustedKey:
    """Take bundles of this key from now on. public: 64 hex digits or PEM. Raises Forbidden, Unprocessable."""
    require(actor, Permission.HUB_OPERATE, HUB)
    return _trust(actor, keys.check_name(name), keys.read_public(public), None)


def follow(*, actor: Actor, rotations: list[Any]) -> TrustedKey:
    """Trust the last key of a chain of rotations that begins with a trusted one. Raises Forbidden, Unprocessable, Conflict."""
    require(actor, Permission.HUB_OPERATE, HUB)
    statements = [keys.read_rotation(value) for value in rotations[: keys.MAX_ROTATIONS]]
    known = {one.public: one for one in trusted_keys()}
    last = _end_of(statements)
    path = keys.path_to(last.new, rotations, known) if last is not None else []
    if not path:
        raise Conflict(
            "None of these keys follows one that is trusted here.", code="bundle_untrusted", hint="condahub keys trust names one."
        )
    first = TrustedKey.objects.get(public=path[0].old)
    return _trust(actor, path[-1].name, path[-1].new, first)


def _end_of(statements: list[Rotation]) -> Rotation | None:
    """The one whose new key hands over to no other."""
    handing = {one.old for one in statements}
    return next((one for one in statements if one.new not in handing), None)


def _trust(actor: Actor, name: str, public: str, follows: TrustedKey | None) -> TrustedKey:
    with transaction.atomic():
        found, made = TrustedKey.objects.select_for_update().get_or_create(
            public=public, defaults={"name": name, "added_by": actor.label, "follows": follows}
        )
        if made or found.revoked_at is not None:
            found.name, found.revoked_at, found.revoked_by, found.added_by = name, None, "", actor.label
            found.save()
            details = {"public": public, "follows": follows.public if follows else None}
            audit(actor=actor, action="key.trust", target=f"key:{name}", details=details)
    return found


def distrust(*, actor: Actor, key: TrustedKey) -> None:
    """Take no more bundles of it; what was imported stays. Raises Forbidden."""
    require(actor, Permission.HUB_OPERATE, HUB)
    with transaction.atomic():
        if TrustedKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now(), revoked_by=actor.label):
            audit(actor=actor, action="key.distrust", target=f"key:{key.name}", details={"public": key.public})


def trusted_keys() -> list[Trusted]:
    """Those that count now."""
    rows = TrustedKey.objects.filter(revoked_at=None)
    return [Trusted(one.name, one.public, f"{one.added_at:%Y-%m-%dT%H:%M:%SZ}") for one in rows]
