"""Where the paths and links inside a package lead; one that could leave the package's folder is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator

from condahub.packages.errors import PackageAmbiguous, PackageBomb, PackageMember, PackageTraversal, shown
from condahub.packages.limits import Limits

# What Windows takes as a separator or a drive counts as well: the same package is unpacked there.
SEPARATORS = re.compile(r"[/\\]")
ROOTED = re.compile(r"[/\\]|[A-Za-z]:")
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")
REMEMBERED_NAME_BYTES = 100


def safe_parts(path: str, limits: Limits) -> tuple[str, ...]:
    """The components of a relative path without '.' and empty ones; refuses one that is rooted, climbs or can't be a name."""
    try:
        encoded = path.encode()
    except UnicodeEncodeError as error:
        raise PackageMember(f"The path '{shown(path)}' is not UTF-8.") from error
    if CONTROL_CHARACTERS.search(path):
        raise PackageMember(f"The path '{shown(path)}' holds a control character.")
    if len(encoded) > limits.max_path_bytes:
        raise PackageMember(f"The path '{shown(path)}' has more than {limits.max_path_bytes} bytes.")
    if ROOTED.match(path):
        raise PackageTraversal(f"The path '{shown(path)}' is absolute.")
    if ".." in path and ".." in SEPARATORS.split(path):
        raise PackageTraversal(f"The path '{shown(path)}' climbs with '..'.")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if len(parts) > limits.max_path_depth:
        raise PackageMember(f"The path '{shown(path)}' is more than {limits.max_path_depth} folders deep.")
    if len(encoded) > limits.max_component_bytes and any(len(part.encode()) > limits.max_component_bytes for part in parts):
        raise PackageMember(f"The path '{shown(path)}' has a name of more than {limits.max_component_bytes} bytes in it.")
    return parts


def _prefixes(parts: tuple[str, ...]) -> Iterator[str]:
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])


class Links:
    """All links of a package, and the proof that none leads out of it.

    A target is followed by its text alone. That is only right when no step back ('..') and no path goes through another
    symbolic link, so those are remembered and compared: at once where a member lies under a link, at the end otherwise.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._symlinks: set[str] = set()
        self._must_not_be_symlinks: set[str] = set()
        self._bytes = 0

    def _remember(self, where: set[str], name: str) -> None:
        if name not in where:
            where.add(name)
            self._bytes += len(name) + REMEMBERED_NAME_BYTES
            if self._bytes > self._limits.max_link_bytes:
                raise PackageBomb("The package holds too many links.")

    def member(self, parts: tuple[str, ...]) -> None:
        """Refuse a member that would be written through a symbolic link."""
        if self._symlinks:
            for prefix in _prefixes(parts):
                if prefix in self._symlinks:
                    raise PackageAmbiguous(f"'{shown('/'.join(parts))}' lies at or under the symbolic link '{shown(prefix)}'.")

    def symlink(self, parts: tuple[str, ...], target: str) -> None:
        """Take a symbolic link at `parts`, or refuse one whose target is outside."""
        if not target:
            raise PackageMember(f"The link '{shown('/'.join(parts))}' has no target.")
        if ROOTED.match(target) or any(".." in step.split("\\") for step in target.split("/") if "\\" in step):
            raise PackageTraversal(f"The link '{shown('/'.join(parts))}' points outside, to '{shown(target)}'.")
        here, descended = list(parts[:-1]), False
        for step in target.split("/"):
            if step in ("", "."):
                continue
            if step != "..":
                here.append(step)
                descended = True
                continue
            if not here:
                raise PackageTraversal(f"The link '{shown('/'.join(parts))}' points outside, to '{shown(target)}'.")
            if descended:
                for prefix in _prefixes(tuple(here)):
                    self._remember(self._must_not_be_symlinks, prefix)
            here.pop()
        self._remember(self._symlinks, "/".join(parts))

    def hardlink(self, parts: tuple[str, ...], target: str) -> None:
        """Take a hard link, whose target counts from the package's root, or refuse one that leads outside."""
        steps = safe_parts(target, self._limits)
        if not steps or steps == parts:
            raise PackageMember(f"The link '{shown('/'.join(parts))}' has no target but itself.")
        for prefix in _prefixes(steps):
            self._remember(self._must_not_be_symlinks, prefix)

    def settle(self) -> None:
        """Once every member is known: refuse a link whose way leads through a symbolic link."""
        crossed = self._symlinks & self._must_not_be_symlinks
        if crossed:
            raise PackageTraversal(f"A link leads through the symbolic link '{shown(min(crossed))}', so where it ends can't be told.")
