"""Reads Sigstore bundles that attest a conda package (CEP-27), and says what of them can be told without asking anybody.

Checked: the form of the bundle and of the statement in it; that it speaks of this file name and these bytes; that its signature
was made with the key of the certificate in it. Not checked: that an authority anybody trusts gave out that certificate, that
it was valid then, and that a transparency log has it. Whoever installs checks that, against the same bundle.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from condahub.errors import Unprocessable

MAX_SIDECAR_BYTES = 512 * 1024
MAX_BUNDLES = 20
MAX_TEXT_CHARS = 500
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://schemas.conda.org/attestations-publish-1.schema.json"
# Fulcio's extensions that name who vouched for the identity: as DER text, and before that as plain bytes.
_ISSUERS = (x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8"), x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1"))
_HASHES: dict[str, type[hashes.HashAlgorithm]] = {"secp256r1": hashes.SHA256, "secp384r1": hashes.SHA384, "secp521r1": hashes.SHA512}


class Signer(NamedTuple):
    """Who the certificate says signed, and who vouches for that; texts as they stand there."""

    identity: str
    issuer: str


class BadAttestation(Unprocessable):
    """What was brought is no attestation of this package (422)."""

    code = "bad_attestation"
    hint = "It is a Sigstore bundle of a CEP-27 statement about this file, as rattler-build makes it."


def read_bundles(content: bytes) -> list[Any]:
    """One bundle, or an array of them. Raises BadAttestation."""
    if len(content) > MAX_SIDECAR_BYTES:
        raise BadAttestation(f"An attestation has at most {MAX_SIDECAR_BYTES:,} bytes.")
    try:
        value = orjson.loads(content)
    except ValueError:
        raise BadAttestation("The attestation is not JSON.") from None
    bundles = value if isinstance(value, list) else [value]
    if not 0 < len(bundles) <= MAX_BUNDLES:
        raise BadAttestation(f"Send 1 to {MAX_BUNDLES} bundles.")
    return bundles


def sidecar_of(bundles: list[Any]) -> bytes:
    """The array as it is served and hashed."""
    return orjson.dumps(bundles, option=orjson.OPT_SORT_KEYS)


def check_bundle(bundle: Any, *, filename: str, sha256: str) -> Signer:
    """Who signed that this file has these bytes. Raises BadAttestation; see the module on what is not checked."""
    if not isinstance(bundle, dict) or not str(bundle.get("mediaType", "")).startswith(BUNDLE_TYPE):
        raise BadAttestation(f"It is no Sigstore bundle: its mediaType does not begin with {BUNDLE_TYPE}.")
    envelope = _table(bundle, "dsseEnvelope")
    if envelope.get("payloadType") != PAYLOAD_TYPE:
        raise BadAttestation(f"What it signs is not of the type {PAYLOAD_TYPE}.")
    payload = _decoded(envelope.get("payload"), "payload")
    _check_statement(payload, filename=filename, sha256=sha256)
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise BadAttestation("It must have exactly one signature.")
    certificate = _certificate(_table(bundle, "verificationMaterial"))
    _check_signature(certificate, _decoded(signatures[0].get("sig"), "signature"), payload)
    return Signer(_identity(certificate), _issuer(certificate))


def _check_statement(payload: bytes, *, filename: str, sha256: str) -> None:
    try:
        statement = orjson.loads(payload)
    except ValueError:
        raise BadAttestation("Its statement is not JSON.") from None
    if not isinstance(statement, dict) or statement.get("_type") != STATEMENT_TYPE:
        raise BadAttestation(f"It holds no in-toto statement ({STATEMENT_TYPE}).")
    if statement.get("predicateType") != PREDICATE_TYPE:
        raise BadAttestation(f"Its predicate is not {PREDICATE_TYPE} (CEP-27).")
    subjects = statement.get("subject")
    if not isinstance(subjects, list) or len(subjects) != 1 or not isinstance(subjects[0], dict):
        raise BadAttestation("It must speak of exactly one file.")
    digest = subjects[0].get("digest")
    if subjects[0].get("name") != filename or not isinstance(digest, dict) or digest.get("sha256") != sha256:
        raise BadAttestation(f"It speaks of another file than '{filename}' with the sha256 {sha256}.")
    predicate = statement.get("predicate")
    target = predicate.get("targetChannel") if isinstance(predicate, dict) else None
    if (predicate is not None and not isinstance(predicate, dict)) or (target is not None and not isinstance(target, str)):
        raise BadAttestation("Its targetChannel is not the address of a channel.")


def _check_signature(certificate: x509.Certificate, signature: bytes, payload: bytes) -> None:
    """Over DSSE's pre-authentication encoding (https://github.com/secure-systems-lab/dsse)."""
    kind = PAYLOAD_TYPE.encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    key = certificate.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _HASHES:
            key.verify(signature, signed, ec.ECDSA(_HASHES[key.curve.name]()))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, signed)
        else:
            raise BadAttestation("Its certificate has a key of a kind that is not taken: ECDSA on a NIST curve, or Ed25519.")
    except InvalidSignature:
        raise BadAttestation("Its signature was not made with the key of its certificate.") from None


def _certificate(material: dict[str, Any]) -> x509.Certificate:
    chain = material.get("x509CertificateChain")
    several = chain.get("certificates") if isinstance(chain, dict) else None
    leaf = material.get("certificate") or (several[0] if isinstance(several, list) and several else None)
    if not isinstance(leaf, dict):
        raise BadAttestation("It has no certificate, so nobody can tell who signed it.")
    try:
        return x509.load_der_x509_certificate(_decoded(leaf.get("rawBytes"), "certificate"))
    except ValueError:
        raise BadAttestation("Its certificate can't be read.") from None


def _identity(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = [*names.get_values_for_type(x509.UniformResourceIdentifier), *names.get_values_for_type(x509.RFC822Name)]
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        found = []
    return found[0][:MAX_TEXT_CHARS] if found else certificate.subject.rfc4514_string()[:MAX_TEXT_CHARS]


def _issuer(certificate: x509.Certificate) -> str:
    try:
        found = {one.oid: one.value for one in certificate.extensions}
    except (x509.DuplicateExtension, ValueError):
        return ""
    for oid in _ISSUERS:
        value = found.get(oid)
        if isinstance(value, x509.UnrecognizedExtension):
            text = value.value[2:] if value.value[:1] == b"\x0c" else value.value
            return text.decode(errors="replace").replace("\x00", "")[:MAX_TEXT_CHARS]
    return ""


def _table(where: dict[str, Any], key: str) -> dict[str, Any]:
    found = where.get(key)
    if not isinstance(found, dict):
        raise BadAttestation(f"It has no '{key}'.")
    return found


def _decoded(text: Any, what: str) -> bytes:
    try:
        return base64.b64decode(text if isinstance(text, str) else "-", validate=True)
    except (binascii.Error, ValueError):
        raise BadAttestation(f"Its {what} is not base64.") from None
