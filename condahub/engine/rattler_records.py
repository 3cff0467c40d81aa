"""Makes py-rattler's records of the hub's own."""

from __future__ import annotations

import datetime

from rattler import BuildString, PackageRecord, RepoDataRecord

from condahub.engine.records import CondaRecord
from condahub.errors import Unprocessable


def rattler_record(record: CondaRecord, *, channel: str, address: str) -> RepoDataRecord:
    """The record as py-rattler wants it. Unprocessable if it says something that no package can be."""
    try:
        made = PackageRecord(
            record.name,
            record.version,
            BuildString(record.build),
            record.build_number,
            record.subdir,
            noarch=record.noarch or None,  # type: ignore[arg-type]  # "python", "generic" or nothing
            depends=list(record.depends),
            constrains=list(record.constrains),
            sha256=bytes.fromhex(record.sha256),
            md5=bytes.fromhex(record.md5) if record.md5 else None,
            size=record.size,
            license=record.license or None,
            license_family=record.license_family or None,
            python_site_packages_path=record.python_site_packages_path or None,
            extra_depends={name: list(lines) for name, lines in record.extra_depends.items()} or None,
            flags=list(record.flags) or None,
        )
        made.features = record.features or None
        made.track_features = list(record.track_features)
        if record.timestamp is not None:
            made.timestamp = datetime.datetime.fromtimestamp(record.timestamp / 1000, datetime.UTC)
        return RepoDataRecord(made, record.filename, address, channel)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise Unprocessable(f"{record.filename}: its record can't be used: {str(error)[:300]}", code="invalid_lock") from None
