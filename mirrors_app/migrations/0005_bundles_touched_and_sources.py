"""When somebody last sent something of an import, and whose packages an export carries."""

from __future__ import annotations

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mirrors", "0004_admitted_and_registered")]

    operations = [
        migrations.AddField("bundleimport", "touched_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
        migrations.AddField("bundleexport", "sources", models.JSONField(default=list)),
    ]
