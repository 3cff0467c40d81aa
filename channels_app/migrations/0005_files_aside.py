"""Files that are kept and shown nowhere."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("channels", "0004_virtual_channels")]

    operations = [
        migrations.AlterField(
            model_name="packagefile",
            name="state",
            field=models.CharField(
                choices=[
                    ("live", "Live"),
                    ("yanked", "Yanked"),
                    ("held", "Held"),
                    ("deleted", "Deleted"),
                    ("purged", "Purged"),
                    ("aside", "Aside"),
                ],
                default="live",
                max_length=7,
            ),
        ),
    ]
