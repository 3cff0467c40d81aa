"""What a specification says, each line with its place in the text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from condahub.engine.lock_reading import ForeignLock


@dataclass(frozen=True, slots=True)
class Line:
    """One entry as written, and the line where it stands (from 1)."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class PipOptions:
    """Index flags among the pip requirements. `index_url` empty: the hub's default."""

    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    pre: bool = False


@dataclass(frozen=True, slots=True)
class Spec:
    """One environment as asked for. `notes`: what was read over, for the person to know."""

    name: str = ""
    description: str = ""
    channels: tuple[Line, ...] = ()
    dependencies: tuple[Line, ...] = ()
    pip: tuple[Line, ...] = ()
    pip_options: PipOptions = PipOptions()
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    platforms: tuple[Line, ...] = ()
    notes: tuple[Line, ...] = ()
    # Of a lock file: exactly what is to be built.
    locked: ForeignLock | None = None

    def canonical(self) -> dict[str, Any]:
        """What it says in one form, whatever its layout: equal for texts that ask for the same."""
        return {
            "channels": [one.text for one in self.channels],
            "dependencies": [one.text for one in self.dependencies],
            "description": self.description,
            "name": self.name,
            "pip": [one.text for one in self.pip],
            "pip_options": {
                "extra_index_urls": list(self.pip_options.extra_index_urls),
                "index_url": self.pip_options.index_url,
                "pre": self.pip_options.pre,
            },
            "platforms": [one.text for one in self.platforms],
            "variables": dict(sorted(self.variables.items())),
        }
