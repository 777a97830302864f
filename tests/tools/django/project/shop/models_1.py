"""The shop as production knows it."""

import uuid

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateRangeField, RangeOperators
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q


class Status(models.TextChoices):
    DRAFT = "draft"
    ON_SALE = "sale"
    GONE = "gone"


class Author(models.Model):
    name = models.CharField(max_length=80)
    email = models.EmailField(unique=True)
    profile = models.JSONField(default=dict)
    rating = models.DecimalField(max_digits=4, decimal_places=2, null=True)
    joined = models.DateTimeField()
    mentor = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="pupils")

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self):
        return self.name


class Tag(models.Model):
    slug = models.SlugField(primary_key=True)

    class Meta:
        ordering = ["slug"]

    def __str__(self):
        return self.slug


class Book(models.Model):
    title = models.CharField(max_length=120, db_index=True)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    editors = models.ManyToManyField(Author, through="Editing", related_name="edited")
    tags = models.ManyToManyField(Tag, blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.DRAFT)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    pages = models.PositiveSmallIntegerField(null=True)
    isbn = models.CharField(max_length=20, blank=True)
    extra = models.JSONField(null=True)
    keywords = ArrayField(models.CharField(max_length=20), default=list)
    published = models.DateField(null=True)
    stock = models.IntegerField(default=0)

    class Meta:
        ordering = ["pk"]
        indexes = [
            models.Index(fields=["status", "-price"], name="book_status_price"),
            GinIndex(fields=["keywords"], name="book_keywords"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["author", "title"], name="book_author_title"),
            models.CheckConstraint(condition=Q(stock__gte=0), name="book_stock"),
        ]

    def __str__(self):
        return self.title


class Editing(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    author = models.ForeignKey(Author, models.PROTECT)
    role = models.CharField(max_length=20)

    class Meta:
        unique_together = [("book", "author")]


class Review(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    book = models.ForeignKey(Book, models.CASCADE, related_name="reviews")
    stars = models.SmallIntegerField()
    text = models.TextField(blank=True)
    took = models.DurationField(null=True)


class Loan(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    days = DateRangeField()

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="loan_overlap",
                expressions=[("book", RangeOperators.EQUAL), ("days", RangeOperators.OVERLAPS)],
            )
        ]
