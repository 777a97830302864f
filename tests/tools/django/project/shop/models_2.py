"""The shop as the preview's branch has it."""

import uuid

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateRangeField, RangeOperators
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Lower, Now


class Status(models.TextChoices):
    DRAFT = "draft"
    ON_SALE = "sale"
    GONE = "gone"


class Country(models.Model):
    code = models.CharField(max_length=2, primary_key=True)


class Author(models.Model):
    country = models.ForeignKey(Country, models.PROTECT, default="xx")
    nickname = models.CharField(max_length=90, null=True, db_collation="anycase")
    friends = models.ManyToManyField("self", editable=False, through="Friendship")
    name = models.CharField(max_length=80)
    email = models.EmailField(unique=True)
    profile = models.JSONField(default=dict)
    rating = models.DecimalField(max_digits=4, decimal_places=2, null=True)
    joined = models.DateTimeField()
    mentor = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="pupils")

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(Lower("email"), name="author_email_lower")]

    def __str__(self):
        return self.name


class Friendship(models.Model):
    from_author = models.ForeignKey(Author, models.CASCADE, related_name="+")
    to_author = models.ForeignKey(Author, models.CASCADE, related_name="+")
    since = models.DateField(db_default=Value("2020-01-01"))

    class Meta:
        db_table = "friendships"


class Label(models.Model):
    slug = models.SlugField(primary_key=True, max_length=80)
    shown = models.BooleanField(default=True)

    class Meta:
        ordering = ["slug"]

    def __str__(self):
        return self.slug


class Book(models.Model):
    title = models.CharField(max_length=120, db_index=True)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    editors = models.ManyToManyField(Author, through="Editing", related_name="edited")
    tags = models.ManyToManyField(Label, blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.DRAFT)
    price = models.DecimalField(max_digits=12, decimal_places=4)
    pages = models.BigIntegerField(default=0)
    isbn = models.CharField(max_length=20, unique=True)
    details = models.JSONField(null=True, db_comment="was extra")
    keywords = ArrayField(models.CharField(max_length=20), default=list)
    published = models.DateField(null=True)
    stock = models.IntegerField(default=0)
    worth = models.GeneratedField(
        expression=F("price") * F("stock"),
        output_field=models.DecimalField(max_digits=20, decimal_places=4),
        db_persist=True,
    )
    edited = models.DateTimeField(db_default=Now())
    shelf = models.CharField(max_length=10, db_default="A1")
    slug = models.SlugField(max_length=140, null=True, editable=False, unique=True)

    class Meta:
        ordering = ["pk"]
        indexes = [
            models.Index(fields=["status", "price"], name="book_status_rising"),
            GinIndex(fields=["keywords"], name="book_keywords"),
            models.Index(fields=["published"], condition=Q(status="sale"), name="book_for_sale"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["author", "title"], name="book_author_title"),
            models.CheckConstraint(condition=Q(stock__gte=0), name="book_stock"),
            models.CheckConstraint(condition=Q(price__gt=0), name="book_price"),
            models.CheckConstraint(condition=Q(pages__gte=0), name="book_pages"),
        ]

    def __str__(self):
        return self.title


class Editing(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    author = models.ForeignKey(Author, models.PROTECT)
    role = models.CharField(max_length=20)

    class Meta:
        unique_together = [("book", "author", "role")]


class Opinion(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    book = models.ForeignKey(Book, models.CASCADE, related_name="reviews")
    stars = models.SmallIntegerField()
    text = models.TextField(blank=True)
    took = models.DurationField(null=True)
    writer = models.ForeignKey(Author, models.CASCADE, null=True)

    class Meta:
        db_table = "opinions"


class Loan(models.Model):
    id = models.AutoField(primary_key=True)
    book = models.ForeignKey(Book, models.CASCADE)
    days = DateRangeField()

    class Meta:
        order_with_respect_to = "book"
        constraints = [
            ExclusionConstraint(
                name="loan_overlap",
                expressions=[("book", RangeOperators.EQUAL), ("days", RangeOperators.OVERLAPS)],
            )
        ]
