from django.contrib import admin

from shop import models


class EditingInline(admin.TabularInline):
    model = models.Editing
    extra = 1


@admin.register(models.Author)
class AuthorAdmin(admin.ModelAdmin):
    list_display = ["name", "email", "rating", "mentor"]
    search_fields = ["name", "email"]
    list_filter = ["joined"]
    date_hierarchy = "joined"


@admin.register(models.Book)
class BookAdmin(admin.ModelAdmin):
    list_display = ["title", "author", "status", "price", "stock"]
    list_editable = ["stock"]
    list_filter = ["status", "tags"]
    list_select_related = ["author"]
    search_fields = ["title", "author__name"]
    autocomplete_fields = ["author"]
    filter_horizontal = ["tags"]
    fields = ["title", "author", "status", "price", "pages", "isbn", "tags"]
    inlines = [EditingInline]
    actions = ["withdraw"]

    @admin.action
    def withdraw(self, request, queryset):
        queryset.update(status=models.Status.GONE)
