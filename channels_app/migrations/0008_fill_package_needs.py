"""Fill the table of needs; a migration of its own, as PostgreSQL indexes no table that has rows waiting for their checks."""

from typing import Any

from django.db import migrations

from channels_app.services.needs import needed_by

CHUNK_NAMES = 200


def fill(apps: Any, schema_editor: Any) -> None:
    """Note the needs of the packages that there are; as `services.packages` does it from now on."""
    packages, files = apps.get_model("channels", "Package"), apps.get_model("channels", "PackageFile")
    needs = apps.get_model("channels", "PackageNeed")
    for channel_id in packages.objects.order_by().values_list("channel_id", flat=True).distinct():
        latest = dict(packages.objects.filter(channel_id=channel_id).exclude(latest_version="").values_list("name", "latest_version"))
        names = sorted(latest)
        for start in range(0, len(names), CHUNK_NAMES):
            rows = files.objects.filter(channel_id=channel_id, name__in=names[start : start + CHUNK_NAMES], state="live", verdict="allow")
            newest: dict[tuple[str, str], int] = {}
            for pk, name, version, subdir in rows.values_list("pk", "name", "version", "subdir"):
                if version == latest[name]:
                    newest[name, subdir] = max(newest.get((name, subdir), 0), pk)
            found = {
                (name, needed)
                for name, record, patch in rows.filter(pk__in=newest.values()).values_list("name", "record", "patch")
                for needed in needed_by(record, patch)
            }
            needs.objects.bulk_create(
                [needs(channel_id=channel_id, name=name, needed=needed) for name, needed in sorted(found)], batch_size=500
            )


class Migration(migrations.Migration):
    dependencies = [
        ("channels", "0007_package_needs"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
