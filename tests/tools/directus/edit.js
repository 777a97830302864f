// What editors and administrators do at the new version: rows, revisions, versions, the data model, people and their rights.
const { Server } = require("./server.js");

const root = "token-of-root";
const editor = "token-of-user-0";

async function rows(server) {
  const show = (method, url, body, token = root) => server.show(method, url, body, token);
  const [author] = await show("GET", "/items/authors?sort=-name&limit=1");
  await show("POST", "/items/articles?fields=*,tags.tag.label,translations.*", { title: "New", slug: "new", author: author.id, tags: [{ tag: { label: "new tag" } }, { tag: 2 }] });
  await show("POST", "/items/articles?fields=*,translations.*", { title: "New in three languages", translations: [{ language: "de", title: "Neu" }, { language: { code: "fr", name: "French" }, title: "Neuf" }] });
  await show("POST", "/items/articles?fields=id,title,status,made_by.email", { title: "By the editor" }, editor);
  await show("POST", "/items/articles", { title: null }, editor);
  await show("POST", "/items/articles", { title: "Twice", slug: "article-7" });
  await show("POST", "/items/articles", [{ title: "One of two", slug: "two" }, { title: "Two of two", slug: "two" }]);
  await show("POST", "/items/articles", { title: "Nobody's", author: "00000000-0000-4000-8000-000000000000" });
  await show("PATCH", "/items/articles/2?fields=*", { title: "Changed", price: 1.25, extra: { changed: true }, words: ["x", "y"] });
  await show("PATCH", "/items/articles/3?fields=id,tags.tag.label,children.id", { tags: { create: [{ tag: 4 }], update: [], delete: [] }, children: { create: [], update: [{ id: 9, parent: 3 }], delete: [] } });
  await show("PATCH", "/items/articles?fields=id,status", { keys: [10, 11, 12], data: { status: "published" } });
  await show("PATCH", "/items/articles?fields=id,featured", { query: { filter: { price: { _gt: 140 } } }, data: { featured: true } }, editor);
  await show("PATCH", "/items/articles?fields=id,sort", [{ id: 13, sort: 1001 }, { id: 14, sort: 1002 }]);
  await show("POST", "/utils/sort/articles", { item: 20, to: 25 });
  await show("DELETE", "/items/articles/14", undefined, editor);
  await show("DELETE", "/items/articles/15");
  await show("DELETE", "/items/articles", { query: { filter: { id: { _in: [50, 51, 52] } } } });
  await show("DELETE", "/items/articles/26");
  await show("DELETE", "/items/articles/1");
  await show("DELETE", `/items/authors/${author.id}`);
  await show("PATCH", "/items/tags/3", { label: "renamed" });
  await server.until("/items/articles/61?fields=body", (article) => article.body === "Changed by the flow", root);
  await show("GET", "/items/articles/61?fields=title,body");
  await show("PATCH", "/items/home", { welcome: "Good day" });
  await show("SEARCH", "/items/articles", { query: { filter: { author: { name: { _eq: "Made by the flow" } } }, fields: ["id"] } });
  for (const revision of await server.must("GET", "/revisions?filter[collection][_eq]=articles&filter[item][_eq]=2&sort=id&fields=id", undefined, root)) await show("POST", `/utils/revert/${revision.id}`);
  await show("GET", "/items/articles/2?fields=*");
  const [version] = await server.must("GET", "/versions?filter[key][_eq]=v2", undefined, root);
  await show("GET", `/versions/${version.id}/compare`);
  await show("POST", `/versions/${version.id}/save`, { title: "Saved at the new version" });
  const { mainHash } = await server.must("GET", `/versions/${version.id}/compare`, undefined, root);
  await show("POST", `/versions/${version.id}/promote`, { mainHash });
  await show("GET", "/items/articles/32?fields=title,body");
  await server.show(...server.upload({}, "articles.csv", "text/csv", "id,title,slug,price\n200,Imported,imported,3.5\n5,Imported over,article-4,4\n", "POST", "/utils/import/articles").toSpliced(3, 1, root));
  await server.show(...server.upload({}, "articles.json", "application/json", JSON.stringify([{ title: "From JSON", slug: "json" }, { title: "Double", slug: "json" }]), "POST", "/utils/import/articles").toSpliced(3, 1, root));
  await show("GET", "/items/articles?export=csv&sort=id&limit=10&fields=id,title,author.name");
  await show("POST", "/graphql", { query: 'mutation { create_tags_item(data: { label: "by GraphQL" }) { id label } update_articles_item(id: 40, data: { title: "By GraphQL", tags: [{ tag: { label: "inner" } }] }) { title tags(sort: "id") { tag { label } } } delete_tags_item(id: 8) { id } }' });
}

async function model(server) {
  const show = (method, url, body) => server.show(method, url, body, root);
  await show("POST", "/fields/articles", { field: "subtitle", type: "string", schema: { default_value: "none", is_nullable: false } });
  await show("POST", "/fields/articles", { field: "weight", type: "integer", schema: { is_unique: true } });
  await show("PATCH", "/fields/articles/subtitle", { type: "text", schema: { is_nullable: true } });
  await show("PATCH", "/fields/articles/rating", { type: "decimal", schema: { numeric_precision: 6, numeric_scale: 3 } });
  await show("PATCH", "/fields/articles/views", { schema: { is_nullable: false } });
  await show("PATCH", "/fields/articles/body", { schema: { is_unique: true } });
  await show("PATCH", "/fields/authors/email", { schema: { is_nullable: false, is_indexed: true } });
  await show("DELETE", "/fields/articles/at");
  await show("PATCH", "/relations/articles/parent", { collection: "articles", field: "parent", related_collection: "articles", schema: { on_delete: "SET NULL" } });
  await show("DELETE", "/items/articles/16");
  await show("POST", "/collections", { collection: "reviews", meta: {}, schema: {}, fields: [{ field: "id", type: "uuid", meta: { special: ["uuid"] }, schema: { is_primary_key: true } }, { field: "article", type: "integer", schema: {} }, { field: "stars", type: "integer", schema: { default_value: 3 } }] });
  await show("POST", "/relations", { collection: "reviews", field: "article", related_collection: "articles", meta: { one_field: "reviews" }, schema: { on_delete: "CASCADE" } });
  await show("POST", "/fields/articles", { field: "reviews", type: "alias", meta: { special: ["o2m"] }, schema: null });
  await show("POST", "/items/reviews", [{ article: 3, stars: 5 }, { article: 3 }, { article: 4, stars: 1 }]);
  await show("POST", "/items/reviews", { article: 26 });
  await show("GET", "/items/articles?filter[reviews][stars][_gt]=2&fields=id,subtitle,rating,reviews.stars&sort=id&deep[reviews][_sort]=stars");
  await show("PATCH", "/relations/articles/author", { collection: "articles", field: "author", related_collection: "authors", schema: { on_delete: "CASCADE" } });
  await show("DELETE", "/collections/articles_translations");
  await show("PATCH", "/collections/tags", { meta: { note: "Other tags", sort: 3 } });
  await show("DELETE", "/items/articles/4");
  await show("GET", "/items/reviews?fields=article,stars&sort=stars");
  const snapshot = (await server.ask("GET", "/schema/snapshot", undefined, root)).data.data;
  snapshot.fields = snapshot.fields.filter((field) => !(field.collection === "articles" && field.field === "happens"));
  const diff = await show("POST", "/schema/diff?force=true", snapshot);
  if (diff) await show("POST", "/schema/apply", diff);
  await show("GET", "/fields/articles");
}

async function people(server) {
  const show = (method, url, body, token = root) => server.show(method, url, body, token);
  const policy = await show("POST", "/policies", { name: "Tags", app_access: false, admin_access: false });
  await show("POST", "/permissions", [{ policy: policy.id, collection: "tags", action: "read", permissions: { label: { _starts_with: "tag" } }, fields: ["label"] }, { policy: policy.id, collection: "tags", action: "create", fields: ["*"] }]);
  const [reader] = await server.must("GET", "/users?filter[email][_eq]=user2@example.org", undefined, root);
  await show("PATCH", `/users/${reader.id}?fields=email,policies.policy.name`, { policies: { create: [{ policy: { id: policy.id } }], update: [], delete: [] } });
  await show("GET", "/items/tags?sort=label", undefined, "token-of-user-2");
  await show("POST", "/items/tags", { label: "tag of the reader" }, "token-of-user-2");
  await show("PATCH", "/permissions?fields=id,fields", { query: { filter: { policy: { name: { _eq: "Reader" } } } }, data: { fields: ["id", "name", "title"] } });
  await show("POST", "/comments", { collection: "articles", item: "5", comment: "New comment" }, editor);
  const [comment] = await server.must("GET", "/comments?sort=comment&limit=1", undefined, root);
  await show("PATCH", `/comments/${comment.id}`, { comment: "Changed comment" });
  await show("POST", "/auth/login", { email: "user0@example.org", password: "wrong" }, null);
  const login = await server.must("POST", "/auth/login", { email: "user0@example.org", password: "secret0" }, null);
  await show("GET", "/users/me?fields=email,role.name", undefined, login.access_token);
  await show("PATCH", "/users/me?fields=email,title", { title: "Dr.", password: "other" }, login.access_token);
  await show("POST", "/auth/logout", { refresh_token: login.refresh_token, mode: "json" }, null);
  await show("POST", "/auth/refresh", { refresh_token: login.refresh_token, mode: "json" }, null);
  const [share] = await server.must("GET", "/shares", undefined, root);
  await server.ask("POST", "/shares/auth", { share: share.id, password: "open" }, null);
  await show("POST", "/shares/auth", { share: share.id, password: "shut" }, null);
  const [nobody] = await server.must("GET", "/users?filter[email][_eq]=user4@example.org", undefined, root);
  await show("DELETE", `/users/${nobody.id}`);
  const [role] = await server.must("GET", "/roles?filter[name][_eq]=Reader", undefined, root);
  await show("DELETE", `/roles/${role.id}`);
  await show("PATCH", "/settings?fields=project_name", { project_name: "Toured" });
  await show("GET", "/activity?sort=-id&limit=20&fields=action,collection,user.email");
  const picture = (await server.must("GET", "/files?sort=title", undefined, root))[0];
  await show("PATCH", `/files/${picture.id}?fields=title,folder.name`, { title: "Other title", folder: null });
  await show("DELETE", `/files/${picture.id}`);
  await show("POST", "/utils/cache/clear");
}

(async () => {
  const server = await Server.start("edit");
  try {
    await rows(server);
    await model(server);
    await people(server);
  } finally {
    await server.stop();
  }
})();
