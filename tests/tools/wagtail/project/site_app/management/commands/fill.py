"""The site, as its editors have filled it at production's version."""

import datetime
import io

from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.core.management.base import BaseCommand
from PIL import Image as Picture
from wagtail.contrib.redirects.models import Redirect
from wagtail.documents.models import Document
from wagtail.images.models import Image
from wagtail.models import Collection, GroupPagePermission, Locale, Page, PageViewRestriction, Site
from django.contrib.auth.models import Permission

from site_app.models import IndexPage, Person, PostLink, PostPage


class Command(BaseCommand):
    def handle(self, *args, **options):
        root_user = User.objects.create_superuser("root", "root@example.org", "secret")
        editor = User.objects.create_user("editor", "editor@example.org", "secret")
        editor.groups.add(Group.objects.get(name="Editors"))
        german = Locale.objects.create(language_code="de")
        root = Page.get_first_root_node()
        home = root.add_child(instance=IndexPage(title="Home", slug="start", intro="<p>Welcome to <b>all</b>.</p>"))
        Site.objects.all().delete()
        Site.objects.create(hostname="testserver", root_page=home, is_default_site=True, site_name="Tour")
        collection = Collection.get_first_root_node().add_child(name="Pictures")
        images = []
        for i in range(6):
            data = io.BytesIO()
            Picture.new("RGB", (40 + i, 30), (i * 40, 0, 0)).save(data, "PNG")
            image = Image(title=f"Image {i}", collection=collection if i % 2 else Collection.get_first_root_node(), uploaded_by_user=editor)
            image.file.save(f"image{i}.png", ContentFile(data.getvalue()))
            image.tags.add("colour", f"c{i}")
            images.append(image)
        for i in range(4):
            document = Document(title=f"Document {i}")
            document.file.save(f"document{i}.txt", ContentFile(f"text {i}".encode()))
        people = [Person.objects.create(name=f"Person {i}") for i in range(8)]
        for person in people[:3]:
            person.name += " (draft)"
            person.save_revision(user=editor)
        for section in range(4):
            index = home.add_child(instance=IndexPage(title=f"Section {section}", intro=f"<p>Section {section} is about <i>subject{section}</i>.</p>"))
            for i in range(25):
                post = PostPage(
                    title=f"Post {section}.{i}",
                    date=datetime.date(2025, 1, 1) + datetime.timedelta(days=i * 3 + section),
                    person=people[(i + section) % 8] if i % 5 else None,
                    live=i % 7 != 0,
                    search_description=f"About thing{i}",
                    body=[
                        {"type": "heading", "value": f"Heading {i}"},
                        {"type": "paragraph", "value": f"<p>Some words{i % 4} with <b>weight</b>.</p>"},
                        {"type": "image", "value": images[i % 6].pk},
                        {"type": "facts", "value": [{"name": "n", "value": i}]},
                    ],
                )
                post.links = [PostLink(title=f"Link {n}", url=f"https://example.org/{n}") for n in range(i % 3)]
                index.add_child(instance=post)
                post.tags.add(f"tag{i % 5}", "all")
                post.save()
                revision = post.save_revision(user=editor, changed=i % 2 == 0)
                if post.live:
                    revision.publish(user=root_user)
                if i % 9 == 3:
                    post.title += " (next)"
                    post.save_revision(user=editor)
        first = PostPage.objects.order_by("pk").first()
        for post in PostPage.objects.order_by("pk")[:3]:
            post.copy_for_translation(german, copy_parents=True)
        post = PostPage.objects.filter(locale__language_code="en", live=True).order_by("pk")[4]
        PageViewRestriction.objects.create(page=post, restriction_type="password", password="open")
        Redirect.objects.create(old_path="/old", redirect_page=first)
        post.get_latest_revision()
        workflow = home.get_workflow()
        if workflow:
            for waiting in PostPage.objects.filter(live=False, locale__language_code="en").order_by("pk")[:4]:
                waiting.save_revision(user=editor)
                workflow.start(waiting, editor)
