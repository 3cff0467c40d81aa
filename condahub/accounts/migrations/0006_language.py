from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_remembered"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="language",
            field=models.CharField(
                blank=True,
                default="",
                help_text="The language of pages and mails, such as de; empty follows the browser, and for mails is English.",
                max_length=8,
            ),
        ),
    ]
