"""How much work a stranger's package may cause: bytes, members, names and time."""

from __future__ import annotations

import time
from dataclasses import dataclass

from condahub.packages.errors import PackageBomb, PackageSlow

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one reading may cost. The ratio counts only past the floor: small packages of zeros are no danger."""

    max_unpacked_bytes: int = 64 * 1024 * MIB
    max_ratio: int = 300
    ratio_floor_bytes: int = 64 * MIB
    max_members: int = 500_000
    max_path_bytes: int = 4096
    max_component_bytes: int = 255
    max_path_depth: int = 256
    # Names of links are remembered to see where they lead, so they are what memory could grow with.
    max_link_bytes: int = 32 * MIB
    max_index_bytes: int = MIB
    max_document_bytes: int = 4 * MIB
    max_listing_bytes: int = 64 * MIB
    # conda and rattler refuse a larger window as well.
    max_window_bytes: int = 128 * MIB
    max_seconds: float = 600.0


DEFAULT = Limits()


class Meter:
    """Counts what a reading has cost so far and ends it at the limit."""

    def __init__(self, limits: Limits, packed_bytes: int) -> None:
        self.limits = limits
        self.packed_bytes = packed_bytes
        self.unpacked_bytes = 0
        self.members = 0
        self._by_ratio = max(limits.ratio_floor_bytes, packed_bytes * limits.max_ratio)
        self._deadline = time.monotonic() + limits.max_seconds

    def unpacked(self, count: int) -> None:
        self.unpacked_bytes += count
        if self.unpacked_bytes > self.limits.max_unpacked_bytes:
            raise PackageBomb(f"The package unpacks to more than {self.limits.max_unpacked_bytes // MIB} MiB.")
        if self.unpacked_bytes > self._by_ratio:
            raise PackageBomb(
                f"The package of {self.packed_bytes} bytes unpacks to more than {self._by_ratio // MIB} MiB, "
                f"over {self.limits.max_ratio} times its size."
            )
        self.check_time()

    def member(self) -> None:
        self.members += 1
        if self.members > self.limits.max_members:
            raise PackageBomb(f"The package holds more than {self.limits.max_members} members.")
        self.check_time()

    def check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise PackageSlow(f"Reading the package took longer than {self.limits.max_seconds:g} s.")
