"""Ed25519 keys (RFC 8032): who signs bundles, whom an importer was told to trust, and how one key hands over to the next.

A signature is of the file's bytes themselves, 64 raw bytes, so that openssl checks it. A rotation is a canonical document in
which the old key names the new one; an importer that trusts the old follows it when it is told to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from condahub.errors import Unprocessable
from mirrors_app.bundles.core import canonical
from mirrors_app.bundles.core.errors import KEY_ROTATED, SIGNATURE, UNTRUSTED, BundleRefused
from mirrors_app.bundles.core.manifest import Manifest, read_manifest

SIGNATURE_BYTES = 64
ROTATION_FORMAT = "condahub-key-rotation"
ROTATION_VERSION = 1
MAX_ROTATIONS = 100
MAX_NAME_CHARS = 100
_HEX_KEY = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@+-]*")


class PrivateKey:
    """A key that signs. It never leaves by repr, str or pickle."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> PrivateKey:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> PrivateKey:
        """Unencrypted PKCS 8, as `to_pem` and openssl write it. Raises Unprocessable."""
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError):
            raise _bad_key("This is no private key that can be read.") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise _bad_key("This is a private key of another kind than Ed25519.")
        return cls(key)

    def to_pem(self) -> bytes:
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption_algorithm=serialization.NoEncryption()
        )

    @property
    def public(self) -> str:
        """The public key, 32 bytes, hex."""
        return self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(data)


@dataclass(frozen=True, slots=True)
class Trusted:
    """A public key that an importer was told to trust. added_at: ISO 8601 in UTC."""

    name: str
    public: str
    added_at: str = ""


def read_public(text: str) -> str:
    """A public key as hex, out of 64 hex digits or openssl's PEM. Raises Unprocessable."""
    text = text.strip()
    if _HEX_KEY.fullmatch(text.lower()):
        _public(text.lower())
        return text.lower()
    try:
        key = serialization.load_pem_public_key(text.encode())
    except (ValueError, TypeError):
        raise _bad_key("This is no public key.") from None
    if not isinstance(key, Ed25519PublicKey):
        raise _bad_key("This is a public key of another kind than Ed25519.")
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()


def public_pem(public: str) -> bytes:
    """The key as openssl reads it."""
    return _public(public).public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def check_name(name: str) -> str:
    """What a key may be called. Raises Unprocessable."""
    name = name.strip()
    if len(name) > MAX_NAME_CHARS or _NAME.fullmatch(name) is None:
        raise Unprocessable(
            "A key's name begins with a letter or digit and has letters, digits, spaces and . _ @ + - in it.", code="bad_key_name"
        )
    return name


def fingerprint(public: str) -> str:
    """What two people read to each other: the key in groups of four hex digits, its first half."""
    return " ".join(public[start : start + 4] for start in range(0, 32, 4))


def is_signed(data: bytes, signature: bytes, public: str) -> bool:
    try:
        _public(public).verify(signature, data)
    except (InvalidSignature, Unprocessable):
        return False
    return True


def _public(public: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    except ValueError:
        raise _bad_key("This is no public key.") from None


def _bad_key(detail: str) -> Unprocessable:
    return Unprocessable(detail, code="bad_key", hint="Give 64 hex digits, or the PEM that 'condahub keys list --pem' or openssl prints.")


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The old key's word that the new one follows it. Keys and signature are hex; the signature is over all else, canonical."""

    format: str
    version: int
    old: str
    new: str
    name: str
    made_at: str
    signature: str

    def as_dict(self) -> dict[str, Any]:
        table: dict[str, Any] = msgspec.to_builtins(self)
        return table

    def signed_bytes(self) -> bytes:
        table = self.as_dict()
        del table["signature"]
        return canonical.encode(table)


def rotate(*, old: PrivateKey, new: PrivateKey, name: str, made_at: datetime) -> Rotation:
    """The statement that `new` follows `old`."""
    unsigned = Rotation(
        format=ROTATION_FORMAT,
        version=ROTATION_VERSION,
        old=old.public,
        new=new.public,
        name=check_name(name),
        made_at=made_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        signature="",
    )
    return msgspec.structs.replace(unsigned, signature=old.sign(unsigned.signed_bytes()).hex())


def read_rotation(value: Any) -> Rotation:
    """A statement out of JSON, its signature checked. Raises Unprocessable."""
    try:
        found = msgspec.convert(value, Rotation)
        right = (found.format, found.version) == (ROTATION_FORMAT, ROTATION_VERSION)
        right = right and is_signed(found.signed_bytes(), bytes.fromhex(found.signature), found.old)
    except (msgspec.ValidationError, ValueError, Unprocessable):
        right = False
    if not right or not _HEX_KEY.fullmatch(found.new):
        raise Unprocessable("This is no rotation that its old key has signed.", code="bad_rotation")
    check_name(found.name)
    return found


def path_to(public: str, rotations: Iterable[Any], trusted: Mapping[str, Trusted]) -> list[Rotation]:
    """The rotations that lead from a trusted key to this one, in order; empty when none do. Wrong ones count for nothing."""
    by_new: dict[str, Rotation] = {}
    for value in list(rotations)[:MAX_ROTATIONS]:
        try:
            found = read_rotation(value)
        except Unprocessable:
            continue
        by_new[found.new] = found
    path: list[Rotation] = []
    current = public
    while current in by_new and len(path) < len(by_new):
        path.insert(0, by_new[current])
        current = by_new[current].old
        if current in trusted:
            return path
    return []


def open_manifest(raw: bytes, signature: bytes, trusted: Sequence[Trusted]) -> tuple[Manifest, Trusted]:
    """The manifest, if one of these keys has signed it, and which. Nothing of it is read before. Raises BundleRefused."""
    keys = {one.public: one for one in trusted}
    if len(signature) == SIGNATURE_BYTES:
        for public, one in keys.items():
            if is_signed(raw, signature, public):
                manifest = read_manifest(raw)
                if manifest.signer.key != public:
                    raise BundleRefused("The manifest names another signer than the key that signed it.", code=SIGNATURE)
                return manifest, one
    raise _refusal(raw, signature, keys)


def _refusal(raw: bytes, signature: bytes, trusted: Mapping[str, Trusted]) -> BundleRefused:
    """Why no trusted key fits; what the manifest says of itself counts only for telling reasons apart."""
    try:
        manifest = read_manifest(raw)
    except BundleRefused as refusal:
        return BundleRefused(f"The bundle's signature is not right. {refusal.detail}", code=SIGNATURE)
    signer = manifest.signer.key
    if signer in trusted or not is_signed(raw, signature, signer):
        return BundleRefused("The bundle's signature does not fit its manifest.", code=SIGNATURE)
    if path := path_to(signer, manifest.rotations, trusted):
        return BundleRefused(
            f"The bundle is signed by a new key ({fingerprint(signer)}), which follows the trusted '{trusted[path[0].old].name}'.",
            code=KEY_ROTATED,
            hint="If its keeper tells you of the new key: condahub keys follow, with the bundle or its rotation file.",
        )
    return BundleRefused(
        f"The bundle is signed by a key that this importer was not told to trust ({fingerprint(signer)}).",
        code=UNTRUSTED,
        hint="If you know from its keeper that the key is theirs: condahub keys trust.",
    )
