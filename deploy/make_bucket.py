"""Makes the bucket that the hub's settings name, unless it is there."""

from __future__ import annotations

import os
from typing import Any


def main() -> None:
    """Ask for it, and create it when the store says that there is none."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "condahub.settings")
    import django
    from botocore.exceptions import ClientError
    from django.core.files.storage import storages

    django.setup()
    storage: Any = storages["blobs"]
    client = storage.connection.meta.client
    try:
        client.head_bucket(Bucket=storage.bucket_name)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        client.create_bucket(Bucket=storage.bucket_name)
        print(f"made the bucket {storage.bucket_name}")


if __name__ == "__main__":
    main()
