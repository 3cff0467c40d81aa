"""Whether a mirror brings what policy denies."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mirrors", "0007_folders_of_packages")]

    operations = [
        migrations.AddField(
            model_name="mirror",
            name="denied",
            field=models.CharField(choices=[("bring", "Bring"), ("leave", "Leave")], default="bring", max_length=5),
        ),
    ]
