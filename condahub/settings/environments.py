"""Where environments lie, where their builders fetch packages, and the limits of builds that no level below sets tighter."""

from __future__ import annotations

from pathlib import Path

from condahub.settings.base import PORT
from condahub.settings.env import DATA_DIR, env

GIB = 1024**3

# Prefixes, the package caches that they are hard-linked from, and the folders people use; one filesystem. A prefix is baked
# into its binaries as <this>/.b/<12 characters>: old packages have room for 80 bytes.
CONDAHUB_ENVIRONMENTS_DIR = Path(env.str("CONDAHUB_ENVIRONMENTS_DIR", default=str(DATA_DIR / "environments")))
# Where a builder's child processes reach the byte-serving process.
CONDAHUB_ENGINE_URL = env.str("CONDAHUB_ENGINE_URL", default=f"http://127.0.0.1:{env.int('CONDAHUB_DATA_PORT', default=PORT + 1)}").rstrip(
    "/"
)

CONDAHUB_SOLVE_SECONDS = env.int("CONDAHUB_SOLVE_SECONDS", default=300)
CONDAHUB_BUILD_SECONDS = env.int("CONDAHUB_BUILD_SECONDS", default=3600)
CONDAHUB_BUILD_MEMORY_BYTES = env.int("CONDAHUB_BUILD_MEMORY_BYTES", default=4 * GIB)
CONDAHUB_ENVIRONMENT_BYTES = env.int("CONDAHUB_ENVIRONMENT_BYTES", default=50 * GIB)
# Of one organization at once.
CONDAHUB_CONCURRENT_BUILDS = env.int("CONDAHUB_CONCURRENT_BUILDS", default=4)
# How long a builder may be silent before its build is another's.
CONDAHUB_BUILD_LEASE_SECONDS = env.int("CONDAHUB_BUILD_LEASE_SECONDS", default=30)
CONDAHUB_COMPILE_BYTECODE = env.bool("CONDAHUB_COMPILE_BYTECODE", default=True)
# Extracted packages that no environment is linked from stay so long after they were last used.
CONDAHUB_PACKAGE_CACHE_DAYS = env.int("CONDAHUB_PACKAGE_CACHE_DAYS", default=14)
# "Would it solve" holds so many threads of a web process at most; two processes make eight.
CONDAHUB_QUESTIONS_AT_ONCE = env.int("CONDAHUB_QUESTIONS_AT_ONCE", default=4)

# Files and folders of specifications that the hub follows: "<path>=<organization>@<account>", each with the rights of that account.
CONDAHUB_WATCH = env.list("CONDAHUB_WATCH", default=[])
