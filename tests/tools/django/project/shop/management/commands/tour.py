"""What an application and its admin do with the shop; each step prints what it saw."""

import datetime
import html
import re
from decimal import Decimal

from django.core.cache import cache
from django.core.management.base import BaseCommand
from django.db import IntegrityError, DatabaseError, connection, transaction
from django.db import models as m
from django.db.models import functions as f
from django.test import Client
from django.utils import timezone

from shop import models

UTC = datetime.timezone.utc
AUTHORS, BOOKS = 60, 400


def moment(i):
    return datetime.datetime(2024, 1, 1, 12, tzinfo=UTC) + datetime.timedelta(days=i)


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("step")

    def handle(self, *args, step, **options):
        getattr(self, step)()

    def say(self, what, *values):
        self.stdout.write(" ".join([what, *map(repr, values)]))

    def fails(self, what, do, detail=True):
        try:
            with transaction.atomic():
                do()
            self.say(what, "no error")
        except DatabaseError as error:
            diag = getattr(error.__cause__, "diag", None)
            self.say(what, type(error).__name__, diag and (diag.sqlstate, diag.constraint_name, detail and diag.message_detail))

    def fill(self):
        from django.contrib.auth.models import Group, Permission, User

        authors = models.Author.objects.bulk_create(
            models.Author(
                name=f"Author {i % 7} {i}",
                email=f"a{i}@example.org",
                profile={"city": ["Oslo", "Berlin", "Rome"][i % 3], "level": i % 5, "langs": ["no", "de"][: i % 3]},
                rating=Decimal(i % 50) / 10 if i % 4 else None,
                joined=moment(i * 9),
            )
            for i in range(AUTHORS)
        )
        for i, author in enumerate(authors[10:], 10):
            author.mentor = authors[i // 10]
            author.save()
        tags = models.Tag.objects.bulk_create(models.Tag(slug=s) for s in ("new", "old", "odd", "sale", "rare"))
        for i in range(BOOKS):
            book = models.Book.objects.create(
                title=f"Book {i % 90} of {i}",
                author=authors[i * 7 % AUTHORS],
                status=models.Status.values[i % 3],
                price=Decimal(i % 80) + Decimal("1.25"),
                pages=i * 3 % 700 if i % 5 else None,
                isbn=f"978-{i:06}" if i % 3 else "",
                extra={"weight": i, "cover": ["hard", "soft"][i % 2]} if i % 4 else None,
                keywords=[f"k{i % 6}", f"k{i % 9}"],
                published=moment(i).date() if i % 8 else None,
                stock=i % 12,
            )
            book.tags.set([tags[i % 5], tags[(i + 2) % 5]])
            if i % 6 == 0:
                book.editors.add(authors[(i * 7 + 3) % AUTHORS], through_defaults={"role": "lead"})
        books = list(models.Book.objects.all())
        models.Review.objects.bulk_create(
            models.Review(book=books[i * 3 % BOOKS], stars=i % 5 + 1, text=f"Text {i}", took=datetime.timedelta(minutes=i))
            for i in range(600)
        )
        models.Loan.objects.bulk_create(
            models.Loan(book=books[i % 50], days=(moment(i * 5).date(), moment(i * 5 + 5).date())) for i in range(200)
        )
        User.objects.create_superuser("root", "root@example.org", "secret")
        clerk = User.objects.create_user("clerk", "clerk@example.org", "secret", is_staff=True)
        group = Group.objects.create(name="clerks")
        group.permissions.set(Permission.objects.filter(content_type__app_label="shop", codename__contains="book"))
        clerk.groups.add(group)

    def reads(self):
        Book, Author = models.Book, models.Author
        stars = next(r.accessor_name for r in Book._meta.related_objects if r.name == "reviews")
        queries = {
            "annotate": Author.objects.annotate(n=m.Count("books"), worth=m.Sum(m.F("books__price") * m.F("books__stock")))
            .filter(n__gt=3)
            .values_list("name", "n", "worth", "mentor__name")
            .order_by("-n", "pk"),
            "json": Author.objects.filter(profile__langs__contains="no", profile__level__gte=3).values_list("email", "profile__city").order_by("pk"),
            "array": Book.objects.filter(keywords__overlap=["k1", "k8"]).values_list("pk", "keywords")[:20],
            "subquery": Author.objects.annotate(
                last=m.Subquery(Book.objects.filter(author=m.OuterRef("pk")).order_by("-published", "pk").values("title")[:1])
            ).values_list("name", "last"),
            "exists": Book.objects.filter(m.Exists(models.Loan.objects.filter(book=m.OuterRef("pk")))).values_list("pk"),
            "case": Book.objects.values(
                size=m.Case(m.When(pages__lt=200, then=m.Value("thin")), m.When(pages__gte=200, then=m.Value("thick")), default=m.Value("?"))
            ).annotate(n=m.Count("*"), dear=m.Max("price")).order_by("size"),
            "window": Book.objects.filter(pk__lt=40).annotate(
                rank=m.Window(f.Rank(), partition_by="author", order_by=[m.F("price").desc(), "pk"])
            ).values_list("pk", "rank"),
            "union": Book.objects.filter(status="sale").values_list("title").union(Author.objects.values_list("name")).order_by("title")[:30],
            "dates": Book.objects.filter(published__year=2024).annotate(month=f.TruncMonth("published")).values_list("month").annotate(n=m.Count("pk")).order_by("month"),
            "m2m": Book.objects.filter(tags__slug="rare").exclude(tags__slug="odd").values_list("pk", "author__mentor__mentor__name").order_by("pk")[:40],
            "prefetch": [
                (a.name, [(b.title, sorted(t.pk for t in b.tags.all()), len(getattr(b, stars).all())) for b in a.books.all()])
                for a in Author.objects.prefetch_related("books__tags", f"books__{stars}").filter(pk__lt=12)
            ],
            "range": models.Loan.objects.filter(days__contains=moment(33).date()).values_list("book__title", "days").order_by("pk"),
            "only": [(b.title, b.stock) for b in Book.objects.only("title").filter(pk__in=[3, 1, 2])],
            "iterator": sum(b.stock for b in Book.objects.iterator(chunk_size=37)),
            "search": Book.objects.filter(title__icontains="OOK 1 ").values_list("title", flat=True),
            "regex": Book.objects.filter(title__iregex=r"^book \d of").count(),
            "distinct": Book.objects.order_by("author_id", "-price", "pk").distinct("author_id").values_list("pk", "price"),
            "in bulk": sorted(Book.objects.in_bulk([5, 6, 7]).items()),
            "text": Book.objects.filter(title__search="89").values_list("title"),
            "raw": [(b.pk, b.dear) for b in Book.objects.raw("SELECT id, price > 60 AS dear FROM shop_book WHERE stock = %s ORDER BY id", [5])],
        }
        for name, query in queries.items():
            self.say(name, list(query) if isinstance(query, m.QuerySet) else query)
        self.say("aggregate", Book.objects.aggregate(m.Sum("price"), m.Avg("stock"), m.Min("published"), n=m.Count("author", distinct=True)))
        self.say("explained", "Seq Scan" in Book.objects.filter(pages=3).explain() or "Scan" in Book.objects.explain())

    def writes(self, Opinion):
        Book, Author = models.Book, models.Author
        self.say("F", Book.objects.filter(status="sale").update(stock=m.F("stock") + 5, price=m.F("price") * 2))
        self.say("subquery update", Book.objects.filter(author__profile__city="Rome").update(pages=1))
        with transaction.atomic():
            locked = list(Book.objects.select_for_update(of=["self"]).select_related("author").filter(stock__gt=12).order_by("pk"))
            self.say("locked", [(b.pk, b.author.name) for b in locked])
            for book in locked[:5]:
                book.title += " (changed)"
                book.save()
            skip = Book.objects.select_for_update(skip_locked=True).filter(pk__lte=10).order_by("pk")
            self.say("skip locked", [b.pk for b in skip])
        first = Author.objects.order_by("pk").first()
        tag = Book._meta.get_field("tags").related_model
        made = Book.objects.bulk_create(
            [Book(title=f"Bulk {i}", author=first, price=i + 1, isbn=f"bulk-{i}") for i in range(1, 120)], batch_size=50
        )
        self.say("bulk", made[0].pk, made[-1].pk)
        for round in range(2):
            rows = [Author(name=f"Upsert {round}", email=f"a{i}@example.org", joined=moment(i)) for i in range(55, 66)]
            done = Author.objects.bulk_create(rows, update_conflicts=True, unique_fields=["email"], update_fields=["name"])
            self.say("upsert", [a.pk for a in done])
        Author.objects.bulk_create([Author(name="ignored", email="a1@example.org", joined=moment(1))], ignore_conflicts=True)
        self.say("get_or_create", [Author.objects.get_or_create(email=e, defaults={"name": "new", "joined": moment(0)})[1] for e in ("a2@example.org", "n@example.org")])
        self.say("update_or_create", Author.objects.update_or_create(email="a2@example.org", defaults={"rating": 4})[0].pk)
        book = Book.objects.get(pk=20)
        book.tags.add(*tag.objects.all())
        book.tags.remove(tag.objects.get(pk="odd"))
        book.tags.through.objects.filter(book_id=21).delete()
        book.editors.set([first, Author.objects.get(pk=30)], through_defaults={"role": "second"})
        self.fails("unique", lambda: Author.objects.create(name="x", email="a3@example.org", joined=moment(0)))
        self.fails("unique together", lambda: Book.objects.create(title=Book.objects.get(pk=40).title, author=Book.objects.get(pk=40).author, price=1, isbn="u"))
        self.fails("check", lambda: Book.objects.filter(pk=1).update(stock=-1))
        self.fails("overlap", lambda: models.Loan.objects.create(book_id=1, days=(moment(1).date(), moment(2).date())))
        self.fails("too long", lambda: Book.objects.filter(pk=1).update(status="x" * 11))
        try:
            with transaction.atomic():
                models.Editing.objects.create(book_id=98765, author=first, role="nobody")
                self.say("deferred until the end", models.Editing.objects.filter(book_id=98765).count())
        except IntegrityError as error:
            self.say("foreign key", error.__cause__.diag.constraint_name, error.__cause__.diag.message_detail)
        with transaction.atomic():
            try:
                with transaction.atomic():
                    Book.objects.filter(pk__lt=50).delete()
                    raise ValueError("undone")
            except ValueError:
                self.say("savepoint", Book.objects.filter(pk__lt=50).count())
        self.say("delete", Author.objects.filter(pk=44, edited=None).delete())
        self.say("delete many", sorted(Book.objects.filter(pk__range=(100, 130)).delete()[1].items()))
        self.fails("protected", lambda: connection.cursor().execute("DELETE FROM shop_author WHERE id = 1; SET CONSTRAINTS ALL IMMEDIATE"))
        self.say("opinions", Opinion.objects.filter(stars=1).update(text=f.Concat("text", m.Value("!"))))
        Opinion.objects.create(book_id=2, stars=3, text="mine")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO shop_loan (book_id, days) VALUES (%s, %s::daterange)", [(i, "[2030-01-01,2030-02-01)") for i in range(60, 80)])
            cursor.execute("SELECT count(*), max(id) FROM shop_loan")
            self.say("raw", cursor.fetchall(), [c.name for c in cursor.description])
        self.say("tables", sorted(connection.introspection.table_names()))

    def admin(self, changed):
        client = Client()
        self.page(client.get("/admin/"))
        self.page(client.post("/admin/login/?next=/admin/", {"username": "root", "password": "wrong"}))
        self.page(client.post("/admin/login/?next=/admin/", {"username": "root", "password": "secret"}))
        self.page(client.get("/admin/"))
        self.page(client.get("/admin/shop/author/", {"q": "author 3"}))
        self.page(client.get("/admin/shop/author/", {"joined__year": "2024", "o": "-2.1", "p": "1"}))
        self.page(client.get("/admin/shop/book/", {"status__exact": "sale", "tags__slug__exact": "rare", "q": "book"}))
        self.page(client.get("/admin/shop/book/7/change/"))
        form = {
            "title": "By the admin", "author": "3", "status": "gone", "price": "3.50", "pages": "10", "isbn": "adm" + changed, "tags": ["new", "odd"],
            "editing_set-TOTAL_FORMS": "1", "editing_set-INITIAL_FORMS": "0", "editing_set-0-author": "4", "editing_set-0-role": "admin",
        }
        self.page(client.post("/admin/shop/book/add/", form))
        form["title"] = "By the admin, changed"
        form["editing_set-TOTAL_FORMS"] = "0"
        self.page(client.post("/admin/shop/book/8/change/", form | {"isbn": "adm8" + changed}))
        self.page(client.get("/admin/shop/book/8/history/"))
        self.page(client.post("/admin/shop/book/", {"action": "withdraw", "_selected_action": ["9", "10", "11"]}))
        self.page(client.post("/admin/shop/author/", {"action": "delete_selected", "_selected_action": ["45", "46"]}))
        self.page(client.post("/admin/shop/author/47/delete/", {"post": "yes"}))
        self.page(client.get("/admin/autocomplete/", {"term": "author 2", "app_label": "shop", "model_name": "book", "field_name": "author"}))
        clerk = Client()
        self.say("clerk", clerk.login(username="clerk", password="secret"))
        self.page(clerk.get("/admin/"))
        self.page(clerk.get("/admin/shop/author/"))

    def page(self, response):
        self.say("page", response.request["REQUEST_METHOD"], response.request["PATH_INFO"], response.status_code, response.headers.get("Location"))
        text = response.content.decode()
        text = re.sub(r"(?s)<(script|style).*?</\1>|<!--.*?-->", "", text)
        text = html.unescape(re.sub(r"<[^>]*>", "\n", text))
        for line in filter(None, map(str.strip, text.splitlines())):
            self.stdout.write("  " + line)

    def use(self):
        self.reads()
        self.writes(models.Review)
        self.reads()
        self.admin("1")

    def use_changed(self):
        # A generated column can't be written, and what has a default in the database needs no value.
        book = models.Book.objects.create(title="After", author_id=1, price=Decimal("2.5"), stock=4, isbn="after")
        book.refresh_from_db()
        self.say("made", book.worth, book.shelf, book.edited is not None)
        models.Book.objects.filter(pk__lt=30).update(stock=m.F("stock") + 1)
        self.say("worth", list(models.Book.objects.filter(pk__lt=60).values_list("pk", "worth", "shelf", "details__cover")))
        self.say("countries", list(models.Author.objects.values_list("country").annotate(n=m.Count("pk")).order_by("country")))
        self.fails("isbn", lambda: models.Book.objects.filter(pk=50).update(isbn=models.Book.objects.get(pk=51).isbn))
        self.fails("email", lambda: models.Author.objects.create(name="x", email="A5@EXAMPLE.ORG", joined=moment(0)))
        self.fails("price", lambda: models.Book.objects.filter(pk=50).update(price=0))
        self.fails("country", lambda: connection.cursor().execute("UPDATE shop_author SET country_id = 'qq' WHERE id = 3; SET CONSTRAINTS ALL IMMEDIATE"))
        self.fails("in use", lambda: connection.cursor().execute("DELETE FROM shop_country WHERE code = 'no'; SET CONSTRAINTS ALL IMMEDIATE"))
        for opinion in models.Opinion.objects.filter(stars=5).select_related("book").order_by("pk")[:20]:
            opinion.writer_id = opinion.book.author_id
            opinion.save()
        self.say("written", list(models.Opinion.objects.filter(writer__isnull=False).values_list("text", "writer__name").order_by("pk")))
        models.Label.objects.filter(pk="rare").update(shown=False)
        models.Label.objects.create(slug="a-longer-slug-than-fifty-characters-" + "x" * 40)
        self.say("labels", list(models.Label.objects.values_list("slug", "shown", "book__pk").order_by("slug", "book__pk")[:60]))
        self.later()
        self.reads()
        models.Label.objects.filter(slug__startswith="a-longer").delete()

    def later(self):
        Book, Author, Loan = models.Book, models.Author, models.Loan
        self.say("slugs", Book.objects.aggregate(n=m.Count("slug", distinct=True)), list(Book.objects.filter(pk__lt=60).values_list("slug", flat=True)))
        self.say("any case", list(Author.objects.filter(nickname__in=["NICK AUTHOR 3 3", "nick author 0 7"]).values_list("pk", "nickname").order_by("pk")))
        self.say("nicknames", list(Author.objects.values_list("nickname").annotate(n=m.Count("pk")).order_by("nickname")))
        self.say("friends", list(models.Friendship.objects.values_list("from_author__name", "to_author__name", "since").order_by("from_author", "to_author")))
        models.Friendship.objects.create(from_author_id=1, to_author_id=2)
        self.say("ordered", list(Book.objects.get(pk=3).get_loan_order()))
        Book.objects.get(pk=3).set_loan_order(list(Book.objects.get(pk=3).get_loan_order())[::-1])
        self.say("first", list(Loan.objects.filter(_order=0).values_list("pk", "book").order_by("pk")[:30]))
        book = Book.objects.get(pk=32)
        self.say("loan", Loan.objects.create(book=book, days=(moment(9000).date(), moment(9001).date()))._order, book.get_loan_order())
        # The row has the time of the migration in it.
        self.fails("pages", lambda: Book.objects.filter(pk=33).update(pages=-1), detail=False)
        self.fails("slug", lambda: Book.objects.filter(pk=33).update(slug=Book.objects.get(pk=35).slug))
        models.Editing.objects.create(book_id=36, author_id=5, role="first")
        self.fails("role", lambda: models.Editing.objects.create(book_id=36, author_id=5, role="first"))

    def use_again(self):
        self.reads()
        cache.set("a", {"b": 1}, None)
        self.say("cache", cache.get("a"), cache.incr("n", 2) if cache.add("n", 1, None) else None)
        models.Book.objects.filter(pk__gt=380).delete()
        models.Book.objects.filter(isbn="after").update(isbn="")

    def finish(self):
        self.reads()
        self.say("now", timezone.now(), cache.get("n"))
        self.admin("2")
