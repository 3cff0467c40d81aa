"""Where bytes lie: a folder, or an S3-compatible bucket (`CONDAHUB_S3_BUCKET`)."""

from __future__ import annotations

from typing import Any

from condahub.settings.env import DATA_DIR, env

CONDAHUB_STORE_DIR = DATA_DIR / "store"
# Uploads in flight; on the same filesystem as the store, so that keeping one is a rename.
CONDAHUB_TEMP_DIR = CONDAHUB_STORE_DIR / ".incoming"

# 'sendfile' (the worker sends the file), 'accel' (nginx sends it), 'redirect' (the client fetches it from S3).
CONDAHUB_SERVE_MODE = env.str("CONDAHUB_SERVE_MODE", default="")
CONDAHUB_ACCEL_PREFIX = env.str("CONDAHUB_ACCEL_PREFIX", default="/_store/")

_bucket = env.str("CONDAHUB_S3_BUCKET", default="")
# Where clients reach the bucket, when that is not where the hub does; signed addresses are made for it.
CONDAHUB_S3_PUBLIC_ENDPOINT_URL = env.str("CONDAHUB_S3_PUBLIC_ENDPOINT_URL", default=None)
_blobs: dict[str, Any]
if _bucket:
    _blobs = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": _bucket,
            "endpoint_url": env.str("CONDAHUB_S3_ENDPOINT_URL", default=None),
            "region_name": env.str("CONDAHUB_S3_REGION", default=None),
            "access_key": env.str("CONDAHUB_S3_ACCESS_KEY", default=None),
            "secret_key": env.str("CONDAHUB_S3_SECRET_KEY", default=None),
            "addressing_style": env.str("CONDAHUB_S3_ADDRESSING_STYLE", default="path"),
            "querystring_expire": 3600,
            "default_acl": None,
            "file_overwrite": True,
        },
    }
else:
    _blobs = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(CONDAHUB_STORE_DIR)}}

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(DATA_DIR / "media")}},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "blobs": _blobs,
}
