from django.db import migrations, models
from django.db.models import F, Q
from django.db.models.functions import Lower


class Migration(migrations.Migration):
    dependencies = [("shop", "0002_columns")]

    operations = [
        migrations.AlterField("Author", "country", models.ForeignKey("shop.country", models.PROTECT, default="xx")),
        migrations.AlterField("Book", "pages", models.BigIntegerField(default=0)),
        migrations.AlterField("Book", "isbn", models.CharField(max_length=20, unique=True)),
        migrations.AddConstraint("Author", models.UniqueConstraint(Lower("email"), name="author_email_lower")),
        migrations.AddConstraint("Book", models.CheckConstraint(condition=Q(price__gt=0), name="book_price")),
        migrations.AddField(
            "Book",
            "worth",
            models.GeneratedField(
                expression=F("price") * F("stock"),
                output_field=models.DecimalField(max_digits=20, decimal_places=4),
                db_persist=True,
            ),
        ),
        migrations.RenameModel("Tag", "Label"),
        migrations.AlterField("Label", "slug", models.SlugField(max_length=80, primary_key=True, serialize=False)),
        migrations.AddField("Label", "shown", models.BooleanField(default=True)),
        migrations.RenameModel("Review", "Opinion"),
        migrations.AlterModelTable("Opinion", "opinions"),
        migrations.AddField("Opinion", "writer", models.ForeignKey("shop.author", models.CASCADE, null=True)),
    ]
