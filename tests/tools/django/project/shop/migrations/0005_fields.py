from django.contrib.postgres.operations import CreateCollation
from django.db import migrations, models
from django.db.models import F, Value
from django.db.models.functions import Concat


def friends(apps, schema_editor):
    Author = apps.get_model("shop", "Author")
    for author in Author.objects.exclude(mentor=None).select_related("mentor").order_by("pk")[:40]:
        author.friends.add(author.mentor)
    Author.objects.filter(nickname=None).update(nickname=Concat(Value("Nick "), F("name")))


def order(apps, schema_editor):
    Loan = apps.get_model("shop", "Loan")
    before = Loan.objects.filter(book=models.OuterRef("book"), pk__lt=models.OuterRef("pk")).order_by().values("book")
    earlier = models.functions.Coalesce(models.Subquery(before.annotate(n=models.Count("pk")).values("n")), 0)
    Loan.objects.update(_order=earlier)


class Migration(migrations.Migration):
    dependencies = [("shop", "0004_concurrently")]

    operations = [
        migrations.AddField("Book", "slug", models.SlugField(max_length=140, null=True, editable=False)),
        # Keys of another type, with their sequence.
        migrations.AlterField("Loan", "id", models.AutoField(primary_key=True, serialize=False)),
        migrations.AlterOrderWithRespectTo("Loan", "book"),
        migrations.RunPython(order, migrations.RunPython.noop),
        CreateCollation("anycase", provider="icu", locale="und-u-ks-level2", deterministic=False),
        migrations.AlterField("Author", "nickname", models.CharField(max_length=90, null=True, db_collation="anycase")),
        migrations.AddField("Author", "friends", models.ManyToManyField("shop.author", editable=False)),
        migrations.RunPython(friends, migrations.RunPython.noop),
    ]
