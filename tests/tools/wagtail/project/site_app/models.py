import sys

from django.db import models
from modelcluster.contrib.taggit import ClusterTaggableManager
from modelcluster.fields import ParentalKey
from taggit.models import TaggedItemBase
from wagtail import blocks
from wagtail.admin.panels import FieldPanel, InlinePanel
from wagtail.fields import RichTextField, StreamField
from wagtail.images.blocks import ImageChooserBlock
from wagtail.models import DraftStateMixin, Orderable, Page, Revision, RevisionMixin, TranslatableMixin
from wagtail.search import index
from wagtail.snippets.models import register_snippet


class PostTag(TaggedItemBase):
    content_object = ParentalKey("PostPage", on_delete=models.CASCADE, related_name="tagged_items")


@register_snippet
class Person(DraftStateMixin, RevisionMixin, TranslatableMixin, index.Indexed, models.Model):
    name = models.CharField(max_length=80)
    panels = [FieldPanel("name")]
    search_fields = [index.SearchField("name"), index.AutocompleteField("name")]

    class Meta:
        unique_together = [("translation_key", "locale")]

    def __str__(self):
        return self.name


class IndexPage(Page):
    intro = RichTextField(blank=True)
    content_panels = Page.content_panels + [FieldPanel("intro")]
    search_fields = Page.search_fields + [index.SearchField("intro")]

    def get_context(self, request):
        context = super().get_context(request)
        posts = PostPage.objects.child_of(self).live().select_related("person").prefetch_related("tagged_items__tag").order_by("-date", "pk")
        if tag := request.GET.get("tag"):
            posts = posts.filter(tags__name=tag)
        context["posts"] = posts[:15]
        context["number"] = posts.count()
        return context


class PostPage(Page):
    date = models.DateField()
    person = models.ForeignKey(Person, models.SET_NULL, null=True, blank=True, related_name="+")
    body = StreamField(
        [
            ("heading", blocks.CharBlock()),
            ("paragraph", blocks.RichTextBlock()),
            ("image", ImageChooserBlock()),
            ("facts", blocks.ListBlock(blocks.StructBlock([("name", blocks.CharBlock()), ("value", blocks.IntegerBlock())]))),
        ],
        use_json_field=True,
        blank=True,
    )
    tags = ClusterTaggableManager(through=PostTag, blank=True)
    content_panels = Page.content_panels + [
        FieldPanel("date"),
        FieldPanel("person"),
        FieldPanel("body"),
        FieldPanel("tags"),
        InlinePanel("links", label="Links"),
    ]
    search_fields = Page.search_fields + [index.SearchField("body"), index.FilterField("date")]


class PostLink(Orderable):
    page = ParentalKey(PostPage, on_delete=models.CASCADE, related_name="links")
    title = models.CharField(max_length=60)
    url = models.URLField()
    panels = [FieldPanel("title"), FieldPanel("url")]


# Copying a page copies its revisions one by one, in no order of their own: their new numbers would be chance.
if "makemigrations" not in sys.argv:
    Revision._meta.ordering = ["pk"]
