from django.shortcuts import render
from wagtail.models import Page


def search(request):
    words = request.GET["q"]
    found = Page.objects.live().search(words, operator=request.GET.get("operator", "or"))
    return render(request, "site_app/search.html", {"words": words, "found": list(found), "number": found.count()})
