"""What the doctor looks at: where environments lie, and whether what is installed there will work."""

from __future__ import annotations

import os
from contextlib import suppress

from condahub.ops.doctor import Finding, error, ok, warning
from environments_app.building import folders
from environments_app.services import sandboxes
from environments_app.services.policies import CODE_SWITCHES, own_values


def check_folders() -> Finding:
    """The folder of environments can be written to, takes hard links, and is not too deep."""
    root = folders.root()
    probe, link = folders.stagings() / f".probe-{os.getpid()}", folders.caches() / f".probe-{os.getpid()}"
    try:
        for path in (probe, link):
            path.parent.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        os.link(probe, link)
    except OSError as failure:
        mend = "CONDAHUB_ENVIRONMENTS_DIR must be one filesystem with hard links, which the hub may write to."
        return error(f"Environments can't be built in {root} ({failure.strerror}).", mend)
    finally:
        for path in (probe, link):
            with suppress(OSError):
                path.unlink()
    if folders.baked_bytes() > folders.SAFE_PREFIX_BYTES:
        return warning(
            f"Environments lie {folders.baked_bytes()} bytes deep in {root}; old packages have room for {folders.SAFE_PREFIX_BYTES}.",
            "Set CONDAHUB_ENVIRONMENTS_DIR to a shorter path, if such packages are used.",
        )
    return ok(f"Environments lie in {root}.")


def check_sandbox() -> Finding:
    """Where the code of packages may run, the builders can hold it."""
    sentence, hint = sandboxes.problem()
    allowed = [name for name, value in own_values(None).items() if name in CODE_SWITCHES and value]
    if not sentence:
        return ok(f"The code of packages can be held in a sandbox; {'it may run.' if allowed else 'IT has not allowed it to run.'}")
    if allowed:
        return error(f"The setting {allowed[0]} is on, and builds that need it fail. {sentence}", hint)
    return ok(f"Link scripts and source distributions stay off: {sentence}")
