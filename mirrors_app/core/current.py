"""Chooses what belongs into current_repodata.json: the latest version of each name, and what those need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from condahub.engine import versions
from mirrors_app.core.index_files import Shown
from mirrors_app.core.records import Facts, read_facts

# Beyond it the choice takes longer than it saves; conda then asks for repodata.json.
MAX_CURRENT_RECORDS = 100_000


def choose_current(shown: Sequence[Shown], *, subdir: str) -> set[str]:
    """File names of the latest version of each name, then of the latest that satisfies each dependency which no chosen one does."""
    by_name: dict[str, dict[str, Facts]] = defaultdict(dict)
    for one in shown:
        facts = read_facts(one.raw)
        by_name[facts.name][one.filename] = facts
    # Only names that something needs are ever held against a spec.
    identities: dict[str, dict[str, Any]] = {}
    chosen: dict[str, set[str]] = {}
    for name, files in by_name.items():
        best = versions.latest({facts.version for facts in files.values()})
        chosen[name] = {filename for filename, facts in files.items() if facts.version == best}
    waiting = _needs(by_name, chosen)
    settled: set[str] = set()
    while waiting:
        settled |= waiting
        added: dict[str, set[str]] = defaultdict(set)
        for text in sorted(waiting):
            spec = versions.parse_spec(text)
            name = (versions.exact_name(spec) if spec is not None else None) or ""
            if name not in by_name:
                continue
            if name not in identities:
                identities[name] = {filename: _identity(facts, subdir) for filename, facts in by_name[name].items()}
            fitting = {filename for filename, identity in identities[name].items() if versions.matching(spec, identity, subdir=subdir)}
            if fitting and not fitting & chosen[name]:
                best = versions.latest({by_name[name][filename].version for filename in fitting})
                added[name] |= {filename for filename in fitting if by_name[name][filename].version == best}
                chosen[name] |= added[name]
        waiting = _needs(by_name, added) - settled
    return {filename for files in chosen.values() for filename in files}


def _needs(by_name: dict[str, dict[str, Facts]], chosen: dict[str, set[str]]) -> set[str]:
    # A bare name is satisfied by the latest version, which is chosen already.
    return {text for name, files in chosen.items() for filename in files for text in by_name[name][filename].depends if text not in by_name}


def _identity(facts: Facts, subdir: str) -> Any | None:
    return versions.candidate(
        name=facts.name,
        version=facts.version,
        build=facts.build,
        build_number=facts.build_number,
        subdir=subdir,
        license=facts.license or "",
    )
