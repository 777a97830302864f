"""A visitor and editors on the site; each page's text is printed."""

import html
import re

from django.core.management.base import BaseCommand
from django.test import Client
from wagtail.images.models import Image
from wagtail.models import ModelLogEntry, Page, PageLogEntry, ReferenceIndex, Revision, Task, TaskState, WorkflowState

from site_app.models import IndexPage, Person, PostPage


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("step")

    def handle(self, *args, step, **options):
        getattr(self, step)()

    def page(self, response):
        request = response.request
        self.stdout.write(f"== {request['REQUEST_METHOD']} {request['PATH_INFO']}?{request['QUERY_STRING']} {response.status_code} {response.headers.get('Location', '')}")
        if not response.headers.get("Content-Type", "").startswith("text/html"):
            if "json" in response.headers.get("Content-Type", ""):
                self.stdout.write(response.content.decode())
            return response
        text = re.sub(r"(?s)<(style|svg|template).*?</\1>|<!--.*?-->", "", response.content.decode())
        text = html.unescape(re.sub(r"<[^>]*>", "\n", text))
        # The report is of several models, and named after any.
        text = re.sub(r"(\d+) (?:page|model) log entries", r"\1 log entries", text)
        lines = [line[:400] for line in filter(None, map(str.strip, text.splitlines())) if "versions" not in line]
        # Results of the same rank, and some lists of the admin, come in any order.
        if "/search/" in request["PATH_INFO"] or request["PATH_INFO"].startswith("/admin/"):
            lines.sort()
        for line in lines:
            self.stdout.write("  " + line)
        return response

    def visit(self):
        visitor = Client()
        home = IndexPage.objects.filter(locale__language_code="en").order_by("path").first()
        self.page(visitor.get("/"))
        for page in home.get_descendants().filter(depth__lte=3).order_by("path"):
            self.page(visitor.get(page.url))
        for page in PostPage.objects.live().order_by("pk")[:12]:
            if page.url:
                self.page(visitor.get(page.url))
        for path in ("/section-0/?tag=tag2", "/nothing/", "/old/", "/old", "/search/?q=thing3", "/search/?q=words1+subject2", "/search/?q=weight+words2&operator=and", "/documents/1/document0.txt"):
            self.page(visitor.get(path))
        for model in (Page, Revision, PageLogEntry, ModelLogEntry, ReferenceIndex, WorkflowState, TaskState, Task, Image, Person):
            self.stdout.write(f"{model.__name__} {model.objects.count()}")
        self.stdout.write(str([(t.title, [p.title for p in t.get_children()]) for t in Page.objects.filter(depth=2).order_by("path")]))

    def edit(self):
        root, editor = Client(), Client()
        self.page(root.post("/admin/login/", {"username": "root", "password": "wrong"}))
        self.page(root.post("/admin/login/?next=/admin/", {"username": "root", "password": "secret"}))
        editor.login(username="editor", password="secret")
        self.page(root.get("/admin/"))
        self.page(editor.get("/admin/"))
        home = IndexPage.objects.filter(locale__language_code="en").order_by("path").first()
        section = home.get_children().first()
        post = PostPage.objects.child_of(section).live().order_by("pk").first()
        for path in (
            f"/admin/pages/{home.pk}/", f"/admin/pages/{section.pk}/?ordering=-latest_revision_created_at&p=2", f"/admin/pages/{post.pk}/edit/", f"/admin/pages/{post.pk}/history/",
            f"/admin/pages/{post.pk}/usage/", "/admin/images/", "/admin/documents/", "/admin/snippets/site_app/person/", "/admin/users/", "/admin/groups/", "/admin/reports/site-history/",
            "/admin/reports/workflow/", "/admin/reports/aging-pages/", "/admin/reports/locked/", "/admin/redirects/", "/admin/sites/", "/admin/locales/", "/admin/collections/", "/admin/workflows/list/",
            "/admin/pages/search/?q=2.13", "/admin/images/?q=image", "/admin/choose-page/", "/admin/choose-page/search/?q=2.3",
            f"/admin/pages/{post.pk}/delete/", f"/admin/pages/add/site_app/postpage/{section.pk}/",
        ):
            self.page(root.get(path))
        form = {
            "title": "Written now", "slug": "written-now", "date": "2026-02-02", "person": "2", "tags": "all, fresh", "comment_notifications": "on",
            "body-count": "1", "body-0-deleted": "", "body-0-order": "0", "body-0-type": "heading", "body-0-id": "", "body-0-value": "A heading",
            "links-TOTAL_FORMS": "1", "links-INITIAL_FORMS": "0", "links-MIN_NUM_FORMS": "0", "links-MAX_NUM_FORMS": "1000",
            "links-0-title": "L", "links-0-url": "https://example.org", "links-0-ORDER": "1", "links-0-id": "",
            "comments-TOTAL_FORMS": "0", "comments-INITIAL_FORMS": "0", "comments-MIN_NUM_FORMS": "0", "comments-MAX_NUM_FORMS": "",
            "seo_title": "", "search_description": "found by thisword",
        }
        self.page(root.post(f"/admin/pages/add/site_app/postpage/{section.pk}/", form | {"action-publish": "1"}))
        self.page(editor.post(f"/admin/pages/add/site_app/postpage/{section.pk}/", form | {"slug": "by-editor", "title": "By the editor", "action-submit": "1"}))
        self.page(root.post(f"/admin/pages/{post.pk}/edit/", form | {"slug": post.slug, "title": "Changed now", "links-TOTAL_FORMS": "0"}))
        self.page(root.post(f"/admin/pages/{post.pk}/edit/", form | {"slug": post.slug, "title": "Changed now", "links-TOTAL_FORMS": "0", "action-publish": "1"}))
        second, third, fourth = PostPage.objects.child_of(section).live().order_by("pk")[3:6]
        self.page(root.post(f"/admin/pages/{second.pk}/unpublish/"))
        self.page(root.post(f"/admin/pages/{third.pk}/move/{home.pk}/confirm/"))
        self.page(root.post(f"/admin/pages/{fourth.pk}/delete/"))
        self.page(root.post(f"/admin/pages/{section.pk}/copy/", {"new_title": "Copied", "new_slug": "copied", "new_parent_page": str(home.pk), "copy_subpages": "on", "publish_copies": "on"}))
        self.page(root.post(f"/admin/pages/{second.pk}/lock/", {}))
        self.page(root.get(f"/admin/pages/{post.pk}/revisions/{post.revisions.order_by('pk').first().pk}/revert/"))
        waiting = WorkflowState.objects.filter(status="in_progress").order_by("pk").first()
        if waiting:
            self.page(root.post(f"/admin/pages/workflow/action/{waiting.object_id}/approve/{waiting.current_task_state_id}/", {"comment": "fine"}))
        self.page(root.post("/admin/snippets/site_app/person/add/", {"name": "Added", "action-publish": "1"}))
        self.page(root.post("/admin/snippets/site_app/person/edit/3/", {"name": "Edited", "action-publish": "1"}))
        self.page(root.post("/admin/snippets/site_app/person/delete/5/", {}))
        self.page(root.post("/admin/redirects/add/", {"old_path": "/gone", "redirect_link": "https://example.org/", "is_permanent": "on", "site": "", "redirect_page": ""}))
        self.page(root.post("/admin/bulk/wagtailcore/page/unpublish/?next=/admin/&" + "&".join(f"id={p.pk}" for p in PostPage.objects.child_of(section).live().order_by("pk")[:3]), {}))
        self.page(root.post("/admin/users/2/", {"username": "editor", "email": "e@example.org", "first_name": "E", "last_name": "Ditor", "is_active": "on", "groups": ["1", "2"]}))
        self.page(root.get("/admin/reports/site-history/"))
        self.page(Client().get("/search/?q=thisword"))
        self.page(root.get("/admin/logout/"))
