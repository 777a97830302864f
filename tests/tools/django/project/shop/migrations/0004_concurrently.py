from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("shop", "0003_constraints")]

    operations = [
        AddIndexConcurrently(
            "Book", models.Index(fields=["published"], condition=Q(status="sale"), name="book_on_sale")
        )
    ]
