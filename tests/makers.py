"""Tiny real conda packages for tests, made on the fly in a few milliseconds."""

from __future__ import annotations

from condahub.packages.maker import Member, dump, make_index, make_package, make_tar, make_zip, pack, zstd

__all__ = ["Member", "dump", "make_index", "make_package", "make_tar", "make_zip", "pack", "zstd"]
