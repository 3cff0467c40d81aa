"""Reads the YAML that conda-mirror reads, of its versions up to 0.10 and of 0.12, into this mirror's own settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mirrors_app.core.credentials import DEFAULT_REGION
from mirrors_app.core.errors import BadConfiguration
from mirrors_app.core.filters import Filters
from mirrors_app.core.globs import read_rules

MAX_FILE_BYTES = 4 * 2**20
# What the flags of conda-mirror 0.10 are called in its file.
_FLAGS = """
    upstream_channel target_directory temp_directory platform include_depends num_threads dry_run no_validate_target
    minimum_free_space proxy ssl_verify max_retries con_timeout show_progress max_packages pdb
"""
FLAGS = frozenset(_FLAGS.split())
NEW_KEYS = frozenset({"source", "destination", "subdirs", "max-retries", "max-parallel", "include", "exclude", "s3-config"})
IGNORED = frozenset({"precondition-checks", "s3-precondition-check"})


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """flags: by conda-mirror 0.10's names, of those that stood in the file; filters: what it lets in; s3: endpoint and region."""

    flags: Mapping[str, Any] = field(default_factory=dict)
    filters: Filters = field(default_factory=Filters)
    s3: Mapping[str, str] = field(default_factory=dict)


def read_settings(path: Path) -> SettingsFile:
    """Raises BadConfiguration for what is no such file; keys that mean nothing are named rather than passed over."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadConfiguration(f"'{path}' is too large.")
        table = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise BadConfiguration(f"'{path}' can't be read as YAML.") from error
    if not isinstance(table, dict) or not all(isinstance(key, str) for key in table):
        raise BadConfiguration(f"'{path}' is not a table of settings.")
    unknown = table.keys() - FLAGS - NEW_KEYS - IGNORED - {"blacklist", "whitelist"}
    if unknown:
        raise BadConfiguration(f"'{path}' has settings that are not known: {', '.join(sorted(unknown))}.", hint="Look for a typing error.")
    return _new(table) if table.keys() & NEW_KEYS else _old(table)


def _old(table: Mapping[str, Any]) -> SettingsFile:
    flags = {key: value for key, value in table.items() if key in FLAGS and value is not None}
    blacklist, whitelist = read_rules(table.get("blacklist"), "blacklist"), read_rules(table.get("whitelist"), "whitelist")
    return SettingsFile(flags, Filters(blacklist=blacklist, whitelist=whitelist))


def _new(table: Mapping[str, Any]) -> SettingsFile:
    names = {"source": "upstream_channel", "destination": "target_directory", "subdirs": "platform", "max-retries": "max_retries"}
    flags = {ours: table[theirs] for theirs, ours in names.items() if table.get(theirs) is not None}
    if table.get("max-parallel") is not None:
        flags["max_parallel"] = table["max-parallel"]
    include, exclude = _specs(table, "include"), _specs(table, "exclude")
    # There an include beside an exclude takes packages back in; alone it keeps all others out.
    filters = Filters(exclude=exclude, readded=include) if include and exclude else Filters(include=include, exclude=exclude)
    source = (table.get("s3-config") or {}).get("source") or {}
    s3 = {"endpoint": str(source.get("endpoint-url", "")), "region": str(source.get("region", DEFAULT_REGION))} if source else {}
    return SettingsFile(flags, filters, s3)


def _specs(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    items = table.get(key) or []
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise BadConfiguration(f"'{key}' is not a list of MatchSpecs.", hint="Dates are bounded by --built-after and --built-before.")
    return tuple(items)
