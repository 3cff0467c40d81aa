"""Settings of the tests: a data folder of their own, the database the run was given, and no durability that a test could not observe."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# A person's own hub must be out of reach of the tests, whatever the shell they were started from says.
for _name in [name for name in os.environ if name.startswith("CONDAHUB_") or name == "PORT"]:
    if not _name.startswith(("CONDAHUB_TEST_", "CONDAHUB_REQUIRE")):
        del os.environ[_name]

_data = tempfile.mkdtemp(prefix="condahub-tests-")
_maker = os.getpid()
os.environ["CONDAHUB_DATA"] = _data
os.environ["CONDAHUB_LOG_LEVEL"] = "WARNING"


@atexit.register
def _remove_data() -> None:
    # A forked child runs this too when it exits; the folder is its parent's.
    if os.getpid() == _maker:
        shutil.rmtree(_data, ignore_errors=True)


if os.environ.get("CONDAHUB_TEST_DATABASE_URL"):
    os.environ["CONDAHUB_DATABASE_URL"] = os.environ["CONDAHUB_TEST_DATABASE_URL"]

from condahub.settings import *  # noqa: E402, F403
from condahub.settings import DATABASES  # noqa: E402

_default = DATABASES["default"]
if _default["ENGINE"].endswith("sqlite3"):
    # A file, as in production: SQLite's shared in-memory mode locks whole tables and hides the WAL.
    _default["TEST"] = {"NAME": os.path.join(_data, "tests.sqlite3")}
    _default["OPTIONS"]["init_command"] = _default["OPTIONS"]["init_command"].replace("synchronous=FULL", "synchronous=OFF")

# No thread writes counts behind a test's back; tests flush by hand.
CONDAHUB_COUNT_FLUSH_SECONDS = 86_400.0
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Most tests have no use for it, and many no database; tests/test_cache.py is about the hub's own.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
# Each test's client sets its middleware up: it need not list every static file for that, but look when one is asked for.
WHITENOISE_AUTOREFRESH = True
