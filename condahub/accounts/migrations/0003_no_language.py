from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_signing_in"),
    ]

    operations = [
        migrations.RemoveField(model_name="user", name="language"),
    ]
