import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Now


def number(apps, schema_editor):
    """Gives each book a number of its own, from production's rows."""
    Book = apps.get_model("shop", "Book")
    books = []
    for book in Book.objects.select_related("author").filter(isbn="").order_by("pk").iterator(chunk_size=50):
        book.isbn = f"X-{book.author.pk}-{book.pk}"
        book.pages = book.pages or 0
        books.append(book)
    Book.objects.bulk_update(books, ["isbn", "pages"], batch_size=100)
    Book.objects.filter(pages=None).update(pages=0)


def forget(apps, schema_editor):
    apps.get_model("shop", "Book").objects.filter(isbn__startswith="X-").update(isbn="")


def countries(apps, schema_editor):
    Country = apps.get_model("shop", "Country")
    Author = apps.get_model("shop", "Author")
    Country.objects.bulk_create([Country(code=code) for code in ("xx", "no", "de")])
    Author.objects.filter(profile__city="Oslo").update(country="no")
    for author in Author.objects.filter(profile__city="Berlin").select_for_update():
        author.country_id = "de"
        author.nickname = author.name.split()[-1]
        author.save(update_fields=["country", "nickname"])


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]

    operations = [
        migrations.CreateModel("Country", [("code", models.CharField(max_length=2, primary_key=True, serialize=False))]),
        migrations.RunSQL("INSERT INTO shop_country VALUES ('zz')", "DELETE FROM shop_country"),
        migrations.AddField("Author", "nickname", models.CharField(max_length=40, null=True)),
        migrations.AddField(
            "Author",
            "country",
            models.ForeignKey("shop.country", models.PROTECT, null=True),
        ),
        migrations.RunPython(countries, migrations.RunPython.noop),
        migrations.RunSQL("UPDATE shop_author SET country_id = 'xx' WHERE country_id IS NULL", migrations.RunSQL.noop),
        migrations.RunPython(number, forget),
        migrations.RenameField("Book", "extra", "details"),
        migrations.AlterField("Book", "details", models.JSONField(null=True, db_comment="was extra")),
        migrations.AlterField("Book", "price", models.DecimalField(max_digits=12, decimal_places=4)),
        migrations.AlterField("Book", "pages", models.BigIntegerField(null=True)),
        migrations.AddField("Book", "edited", models.DateTimeField(db_default=Now())),
        migrations.AddField("Book", "shelf", models.CharField(max_length=10, db_default="A1")),
    ]
