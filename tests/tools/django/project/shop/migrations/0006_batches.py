from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    RemoveIndexConcurrently,
    ValidateConstraint,
)
from django.db import migrations, models, transaction
from django.db.models import Q, Value
from django.utils.text import slugify


def slugs(apps, schema_editor):
    """In batches, each a transaction of its own: what large tables are migrated by."""
    Book = apps.get_model("shop", "Book")
    last = 0
    while True:
        with transaction.atomic():
            batch = list(Book.objects.select_for_update(skip_locked=True).filter(pk__gt=last).order_by("pk")[:75])
            for book in batch:
                book.slug = slugify(f"{book.pk} {book.title}")
            Book.objects.bulk_update(batch, ["slug"])
        if not batch:
            return
        last = batch[-1].pk


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("shop", "0005_fields")]

    operations = [
        migrations.RunPython(slugs, migrations.RunPython.noop),
        migrations.AlterField("Book", "slug", models.SlugField(max_length=140, null=True, editable=False, unique=True)),
        AddConstraintNotValid("Book", models.CheckConstraint(condition=Q(pages__gte=0), name="book_pages")),
        ValidateConstraint("Book", "book_pages"),
        RemoveIndexConcurrently("Book", "book_status_price"),
        AddIndexConcurrently("Book", models.Index(fields=["status", "price"], name="book_status_rising")),
        migrations.RenameIndex("Book", old_name="book_on_sale", new_name="book_for_sale"),
        migrations.AlterUniqueTogether("Editing", {("book", "author", "role")}),
        # The table of a relation becomes that of a model.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "ALTER TABLE shop_author_friends RENAME TO friendships; ALTER TABLE friendships ADD COLUMN since date DEFAULT '2020-01-01'",
                    "ALTER TABLE friendships DROP COLUMN since; ALTER TABLE friendships RENAME TO shop_author_friends",
                )
            ],
            state_operations=[
                migrations.CreateModel(
                    "Friendship",
                    [
                        ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                        ("from_author", models.ForeignKey("shop.author", models.CASCADE, related_name="+")),
                        ("to_author", models.ForeignKey("shop.author", models.CASCADE, related_name="+")),
                        ("since", models.DateField(db_default=Value("2020-01-01"))),
                    ],
                    {"db_table": "friendships"},
                ),
                migrations.AlterField(
                    "Author", "friends", models.ManyToManyField("shop.author", editable=False, through="shop.Friendship")
                ),
            ],
        ),
    ]
