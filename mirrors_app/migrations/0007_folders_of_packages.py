"""Where the packages of a mirrored subdir lie, as one word for all that their records do not place themselves."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mirrors", "0006_wanted_sidecars")]

    operations = [
        migrations.AddField(
            model_name="mirrorsubdir",
            name="base_url",
            field=models.CharField(blank=True, max_length=2000),
        ),
    ]
