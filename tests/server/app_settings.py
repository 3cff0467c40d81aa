"""Settings of the small application in `app.py`: a store, and nothing else of the hub."""

from __future__ import annotations

import os
from pathlib import Path

_root = Path(os.environ.get("CONDAHUB_TEST_STORE", "."))

SECRET_KEY = "only for this test"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.server.app"
MIDDLEWARE: list[str] = []
USE_TZ = True
CONDAHUB_SERVE_MODE = ""
CONDAHUB_TEMP_DIR = _root / ".incoming"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "blobs": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(_root)}},
}
