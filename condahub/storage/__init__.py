"""Bytes by their sha256: kept durably on disk or S3 (`blobs`), and sent to clients without Django holding them (`serve`)."""
