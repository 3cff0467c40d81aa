"""Writes a HubLock as a software bill of materials: CycloneDX 1.6 and SPDX 2.3, both as JSON."""

from __future__ import annotations

import datetime
import hashlib
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

import msgspec
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from condahub.engine.lock import HubLock
from condahub.engine.records import CondaRecord, PypiRecord

TOOL = "condahub"
# Of the name-based UUIDs that tell one document from another (RFC 9562, version 5).
_NAMESPACE = uuid.UUID("5f0c5a0e-5d0b-5a51-9b1c-0d4f5b3f7d11")

Record = CondaRecord | PypiRecord
AddressOf = Callable[[Record], str]


def cyclonedx(lock: HubLock, subdir: str, *, name: str, version: str, address_of: AddressOf | None = None) -> bytes:
    """The bill of one platform as CycloneDX 1.6 JSON. name, version: the environment's and its build's; address_of: where a
    package is had, left out if not given. The same lock gives the same bytes.
    """
    records = _records(lock, subdir)
    root = f"{name}@{version}"
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{_identity(lock, subdir, name, version)}",
        "version": 1,
        "metadata": {
            "timestamp": _moment(lock, subdir),
            "tools": {"components": [{"type": "application", "name": TOOL}]},
            "component": {"type": "application", "bom-ref": root, "name": name, "version": version},
        },
        "components": [_component(record, address_of) for record in records],
        "dependencies": [{"ref": root, "dependsOn": [purl(record) for record in records]}, *_dependencies(records)],
    }
    return _json(document)


def spdx(lock: HubLock, subdir: str, *, name: str, version: str, namespace: str, address_of: AddressOf | None = None) -> bytes:
    """The same as SPDX 2.3 JSON. namespace: an address of the hub's under which the document's own identity is made up."""
    records = _records(lock, subdir)
    other: dict[str, str] = {}
    packages = [_spdx_package(record, address_of, other) for record in records]
    root = {
        "SPDXID": "SPDXRef-Environment",
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "primaryPackagePurpose": "APPLICATION",
    }
    document: dict[str, Any] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{name}-{version}-{subdir}",
        "documentNamespace": f"{namespace.rstrip('/')}/{_identity(lock, subdir, name, version)}",
        "creationInfo": {"created": _moment(lock, subdir), "creators": [f"Tool: {TOOL}"]},
        "packages": [root, *packages],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-Environment"},
            *(
                {"spdxElementId": "SPDXRef-Environment", "relationshipType": "CONTAINS", "relatedSpdxElement": _spdx_id(record)}
                for record in records
            ),
            *(
                {"spdxElementId": _spdx_id(one), "relationshipType": "DEPENDS_ON", "relatedSpdxElement": _spdx_id(needed)}
                for one, all_needed in _needs(records)
                for needed in all_needed
            ),
        ],
    }
    if other:
        document["hasExtractedLicensingInfos"] = [
            {"licenseId": reference, "name": said, "extractedText": said} for reference, said in sorted(other.items())
        ]
    return _json(document)


def purl(record: Record) -> str:
    """The package URL (purl-spec, types conda and pypi)."""
    if isinstance(record, PypiRecord):
        return f"pkg:pypi/{quote(record.name, safe='-._')}@{quote(record.version, safe='-._~')}"
    kind = "conda" if record.filename.endswith(".conda") else "tar.bz2"
    facts = {"build": record.build, "channel": record.channel, "subdir": record.subdir, "type": kind}
    qualifiers = "&".join(f"{key}={quote(value, safe='-._~')}" for key, value in sorted(facts.items()))
    return f"pkg:conda/{quote(record.name, safe='-._')}@{quote(record.version, safe='-._~')}?{qualifiers}"


def license_expression(said: str) -> str | None:
    """The SPDX expression of what a package says of its licence; None if it says nothing that is one."""
    if not said or said.lower() == "none":
        return None
    try:
        return str(canonicalize_license_expression(said))
    except InvalidLicenseExpression:
        return None


def _records(lock: HubLock, subdir: str) -> list[Record]:
    platform = lock.platform(subdir)
    return [*platform.conda, *platform.pypi]


def _identity(lock: HubLock, subdir: str, name: str, version: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, f"{lock.only(subdir).sha256} {name} {version}")


def _moment(lock: HubLock, subdir: str) -> str:
    """The time of the newest package: a bill made again of the same lock is the same."""
    newest_ms = max((record.timestamp or 0 for record in lock.platform(subdir).conda), default=0)
    return datetime.datetime.fromtimestamp(newest_ms // 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _needs(records: Iterable[Record]) -> list[tuple[Record, list[Record]]]:
    by_name = {record.name: record for record in records if isinstance(record, CondaRecord)}
    found: list[tuple[Record, list[Record]]] = []
    for record in by_name.values():
        names = sorted({line.split(" ", 1)[0].lower() for line in record.depends} & by_name.keys())
        found.append((record, [by_name[name] for name in names]))
    return found


def _dependencies(records: Iterable[Record]) -> list[dict[str, Any]]:
    return [{"ref": purl(record), "dependsOn": [purl(needed) for needed in all_needed]} for record, all_needed in _needs(records)]


def _component(record: Record, address_of: AddressOf | None) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl(record),
        "name": record.name,
        "version": record.version,
        "purl": purl(record),
        "hashes": [{"alg": "SHA-256", "content": record.sha256}],
    }
    expression = license_expression(record.license)
    if expression is not None:
        component["licenses"] = [{"expression": expression}]
    elif record.license and record.license.lower() != "none":
        component["licenses"] = [{"license": {"name": record.license}}]
    if address_of is not None:
        component["externalReferences"] = [{"type": "distribution", "url": address_of(record)}]
    return component


def _spdx_id(record: Record) -> str:
    kind = "PyPI" if isinstance(record, PypiRecord) else "Conda"
    # Two names may become one when what SPDX does not allow is replaced: the hash keeps them apart.
    return f"SPDXRef-{kind}-{re.sub('[^A-Za-z0-9.-]', '-', record.name)}-{record.sha256[:12]}"


def _spdx_package(record: Record, address_of: AddressOf | None, other: dict[str, str]) -> dict[str, Any]:
    return {
        "SPDXID": _spdx_id(record),
        "name": record.name,
        "versionInfo": record.version,
        "packageFileName": record.filename,
        "downloadLocation": address_of(record) if address_of is not None else "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": _spdx_license(record.license, other),
        "copyrightText": "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": record.sha256}],
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl(record)}],
    }


def _spdx_license(said: str, other: dict[str, str]) -> str:
    expression = license_expression(said)
    if expression is not None:
        for reference in re.findall(r"LicenseRef-[A-Za-z0-9.-]+", expression):
            other.setdefault(reference, reference.removeprefix("LicenseRef-"))
        return expression
    if not said or said.lower() == "none":
        return "NOASSERTION"
    reference = f"LicenseRef-{hashlib.sha256(said.encode()).hexdigest()[:12]}"
    other[reference] = said
    return reference


def _json(document: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
