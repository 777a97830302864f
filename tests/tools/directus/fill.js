// The content that production's editors have made at its version: collections of every kind of field, rows, people and their rights.
const { Server } = require("./server.js");

const text = (field, extra = {}) => ({ field, type: "string", meta: { interface: "input" }, schema: extra });
const key = (type) =>
  type === "uuid"
    ? { field: "id", type: "uuid", meta: { hidden: true, special: ["uuid"] }, schema: { is_primary_key: true, has_auto_increment: false } }
    : { field: "id", type, meta: { hidden: true }, schema: { is_primary_key: true, has_auto_increment: true } };
const special = (field, type, what) => ({ field, type, meta: { special: [what] }, schema: {} });
const alias = (field, what) => ({ field, type: "alias", meta: { special: [what] }, schema: null });

const COLLECTIONS = {
  authors: [key("uuid"), text("name", { is_nullable: false, max_length: 80 }), text("email", { is_unique: true }), { field: "born", type: "date", schema: {} }, { field: "secret", type: "hash", meta: { special: ["hash"] }, schema: {} }],
  articles: [
    key("integer"), text("title", { is_nullable: false }), text("slug", { is_unique: true, max_length: 120 }), { field: "body", type: "text", schema: {} },
    { field: "status", type: "string", meta: { interface: "select-dropdown" }, schema: { default_value: "draft", is_nullable: false } },
    { field: "sort", type: "integer", schema: {} }, { field: "price", type: "decimal", schema: { numeric_precision: 10, numeric_scale: 2, default_value: 0 } },
    { field: "rating", type: "float", schema: {} }, { field: "views", type: "bigInteger", schema: { default_value: 0 } }, { field: "featured", type: "boolean", meta: { special: ["cast-boolean"] }, schema: { default_value: false } },
    { field: "extra", type: "json", meta: { special: ["cast-json"] }, schema: {} }, { field: "words", type: "csv", meta: { special: ["cast-csv"] }, schema: {} },
    { field: "published", type: "timestamp", schema: {} }, { field: "at", type: "time", schema: {} }, { field: "happens", type: "dateTime", schema: {} },
    { field: "author", type: "uuid", meta: { special: ["m2o"] }, schema: {} }, { field: "parent", type: "integer", meta: { special: ["m2o"] }, schema: {} }, { field: "picture", type: "uuid", meta: { special: ["file"] }, schema: {} },
    special("made", "timestamp", "date-created"), special("changed", "timestamp", "date-updated"), special("made_by", "uuid", "user-created"), special("changed_by", "uuid", "user-updated"),
    alias("tags", "m2m"), alias("children", "o2m"), alias("translations", "translations"),
  ],
  tags: [key("bigInteger"), text("label", { is_unique: true, is_nullable: false })],
  articles_tags: [key("integer"), { field: "article", type: "integer", schema: {} }, { field: "tag", type: "bigInteger", schema: {} }],
  languages: [{ field: "code", type: "string", schema: { is_primary_key: true, max_length: 8 } }, text("name")],
  articles_translations: [key("integer"), { field: "article", type: "integer", schema: {} }, { field: "language", type: "string", schema: { max_length: 8 } }, text("title"), { field: "body", type: "text", schema: {} }],
  home: [key("integer"), text("welcome"), { field: "front", type: "integer", schema: {} }],
};
const relation = (collection, field, related_collection, one_field, schema, more = {}) => ({ collection, field, related_collection, meta: { one_field, ...more }, schema: { on_delete: schema } });
const RELATIONS = [
  relation("articles", "author", "authors", null, "SET NULL"),
  relation("articles", "parent", "articles", "children", "NO ACTION"),
  relation("articles", "picture", "directus_files", null, "SET NULL"),
  relation("articles", "made_by", "directus_users", null, "SET NULL"),
  relation("articles", "changed_by", "directus_users", null, "SET NULL"),
  relation("articles_tags", "article", "articles", "tags", "CASCADE", { junction_field: "tag", one_deselect_action: "delete" }),
  relation("articles_tags", "tag", "tags", null, "CASCADE", { junction_field: "article" }),
  relation("articles_translations", "article", "articles", "translations", "CASCADE", { junction_field: "language", one_deselect_action: "delete" }),
  relation("articles_translations", "language", "languages", null, "SET NULL", { junction_field: "article" }),
  relation("home", "front", "articles", null, "SET NULL"),
];

async function content(server) {
  for (const [collection, fields] of Object.entries(COLLECTIONS)) {
    const meta = { singleton: collection === "home", versioning: collection === "articles", sort_field: collection === "articles" ? "sort" : null, note: `The ${collection}` };
    await server.must("POST", "/collections", { collection, meta, schema: {}, fields });
  }
  for (const one of RELATIONS) await server.must("POST", "/relations", one);
  const authors = await server.must("POST", "/items/authors", [...Array(12).keys()].map((i) => ({ name: `Author ${i}`, email: `a${i}@example.org`, born: `19${60 + i}-03-0${(i % 9) + 1}`, secret: i ? `s${i}` : null })));
  const tags = await server.must("POST", "/items/tags", [...Array(9).keys()].map((i) => ({ label: `tag${i}` })));
  await server.must("POST", "/items/languages", [{ code: "en", name: "English" }, { code: "de", name: "German" }]);
  const folder = await server.must("POST", "/folders", { name: "Pictures" });
  const inner = await server.must("POST", "/folders", { name: "Inner", parent: folder.id });
  const sharp = require(`${process.env.DIRECTUS}/node_modules/sharp`);
  const files = [];
  for (let i = 0; i < 5; i += 1) {
    const picture = await sharp({ create: { width: 30 + i, height: 20, channels: 3, background: { r: i * 40, g: 0, b: 0 } } }).png().toBuffer();
    files.push(await server.must(...server.upload({ title: `Picture ${i}`, folder: i % 2 ? folder.id : inner.id }, `p${i}.png`, "image/png", picture)));
  }
  await server.must(...server.upload({ title: "Words" }, "words.txt", "text/plain", "only words\n"));
  for (let batch = 0; batch < 6; batch += 1) {
    await server.must("POST", "/items/articles", [...Array(25).keys()].map((n) => {
      const i = batch * 25 + n;
      return {
        title: `Article ${i}`, slug: `article-${i}`, body: `Some words${i % 4} about thing${i}.`, status: ["draft", "published", "archived"][i % 3], sort: 150 - i,
        price: `${i}.${(i % 4) * 25}`, rating: i / 7, views: i % 11 ? i * 1_000_000_007 : null, featured: i % 5 === 0, extra: { n: i, list: [i, "x"] }, words: i % 3 ? [`w${i % 3}`, "all"] : null,
        published: `2025-${String((i % 12) + 1).padStart(2, "0")}-10T0${i % 10}:30:00Z`, at: `0${i % 10}:15:00`, happens: "2025-06-01T12:00:00", author: i % 6 ? authors[i % 12].id : null,
        parent: i > 25 && i % 4 === 0 ? i - 25 : null, picture: i % 9 ? null : files[i % 5].id,
        tags: [...new Set([i % 9, (i * 5) % 9])].map((t) => ({ tag: tags[t].id })),
        translations: i % 10 ? [] : [{ language: "de", title: `Artikel ${i}`, body: "Worte" }],
      };
    }));
  }
  await server.must("PATCH", "/items/home", { welcome: "Hello", front: 3 });
  for (let i = 1; i < 20; i += 3) await server.must("PATCH", `/items/articles/${i}`, { title: `Article ${i - 1} (edited)`, views: i });
  await server.must("DELETE", "/items/articles", [148, 149]);
  return { files, authors };
}

/** Roles, rights and people; the next version turns rights of roles into policies. */
async function people(server) {
  const roles = {};
  for (const [name, more] of Object.entries({ Editor: { app_access: true }, Reader: { app_access: false, ip_access: ["127.0.0.1", "10.0.0.0/8"] }, Second: { admin_access: true, app_access: true, enforce_tfa: false }, Nobody: {} })) {
    roles[name] = (await server.must("POST", "/roles", { name, icon: "badge", description: `${name}s`, ...more })).id;
  }
  const right = (role, collection, action, permissions = {}, more = {}) => ({ role, collection, action, permissions, fields: ["*"], ...more });
  await server.must("POST", "/permissions", [
    right(null, "articles", "read", { status: { _eq: "published" } }, { fields: ["id", "title", "slug", "author"] }),
    right(null, "authors", "read", {}, { fields: ["id", "name"] }),
    ...["create", "read", "update", "delete"].map((action) => right(roles.Editor, "articles", action, action === "delete" ? { status: { _neq: "published" } } : {}, { validation: action === "create" ? { title: { _nnull: true } } : null, presets: action === "create" ? { status: "draft" } : null })),
    ...["authors", "tags", "articles_tags", "languages", "articles_translations", "directus_files", "home"].map((collection) => right(roles.Editor, collection, "read")),
    right(roles.Editor, "articles_tags", "create"), right(roles.Editor, "articles_tags", "delete"), right(roles.Editor, "directus_activity", "create"),
    right(roles.Reader, "articles", "read", { _or: [{ featured: { _eq: true } }, { author: { name: { _contains: "1" } } }] }),
    right(roles.Reader, "authors", "read", {}, { fields: ["name", "email"] }),
  ]);
  const users = [];
  for (const [i, role] of ["Editor", "Editor", "Reader", "Second", "Nobody", null].entries()) {
    users.push(await server.must("POST", "/users", { email: `user${i}@example.org`, password: `secret${i}`, first_name: `U${i}`, last_name: role, role: role && roles[role], token: `token-of-user-${i}`, status: i === 4 ? "suspended" : "active", language: i ? "de-DE" : null, email_notifications: false, tags: ["one", "two"] }));
  }
  await server.must("PATCH", "/users/me", { token: "token-of-root", first_name: "Root", email_notifications: false });
  return { roles, users };
}

async function work(server, { roles, users, files, authors }) {
  for (let i = 0; i < 60; i += 1) {
    await server.must("POST", "/activity/comment", { collection: "articles", item: `${(i % 20) + 1}`, comment: `Comment ${i} for @${users[i % 3].id}` }, i % 4 ? "token-of-root" : "token-of-user-0");
  }
  for (let i = 0; i < 4; i += 1) {
    const version = await server.must("POST", "/versions", { key: `v${i}`, name: `Version ${i}`, collection: "articles", item: `${30 + i}` });
    for (let save = 0; save < i; save += 1) await server.must("POST", `/versions/${version.id}/save`, save ? { body: `Next body ${save}` } : { title: `Next ${i}`, price: "9.50" });
  }
  await server.must("POST", "/presets", [{ collection: "articles", layout: "tabular", bookmark: "Mine", role: roles.Editor, layout_query: { tabular: { sort: ["-title"], page: 1 } } }, { collection: "authors", user: users[0].id, search: "1" }]);
  const board = await server.must("POST", "/dashboards", { name: "Numbers", note: "of articles" });
  for (let i = 0; i < 3; i += 1) await server.must("POST", "/panels", { dashboard: board.id, name: `Panel ${i}`, type: "metric", position_x: 1 + i * 10, position_y: 1, width: 10, height: 8, options: { collection: "articles", function: "count", field: "id" } });
  const flow = await server.must("POST", "/flows", { name: "On an update", trigger: "event", accountability: "all", status: "active", options: { type: "action", scope: ["items.update"], collections: ["tags"] } });
  const note = await server.must("POST", "/operations", { flow: flow.id, key: "note", type: "item-create", name: "Note", position_x: 19, position_y: 1, options: { collection: "authors", permissions: "$full", payload: { name: "Made by the flow" } } });
  const change = await server.must("POST", "/operations", { flow: flow.id, key: "change", type: "item-update", position_x: 38, position_y: 1, options: { collection: "articles", permissions: "$full", query: { filter: { title: { _eq: "Article 60" } } }, payload: { body: "Changed by the flow" } } });
  await server.must("PATCH", `/operations/${note.id}`, { resolve: change.id });
  await server.must("PATCH", `/flows/${flow.id}`, { operation: note.id });
  await server.must("POST", "/shares", { name: "Open", collection: "articles", item: "4", role: roles.Reader, password: "open" });
  await server.must("POST", "/notifications", [...Array(6).keys()].map((i) => ({ recipient: users[i % 3].id, subject: `Subject ${i}`, message: "**text**", collection: "articles", item: `${i + 1}` })));
  await server.must("POST", "/translations", [{ key: "hello", language: "en-US", value: "Hello" }, { key: "hello", language: "de-DE", value: "Hallo" }]);
  await server.must("PATCH", "/settings", { project_name: "Tour", project_descriptor: "of previews", default_language: "en-US", module_bar: [{ type: "module", id: "content", enabled: true }], public_note: "<b>open</b>", storage_default_folder: files[0].folder });
  await server.must("PATCH", `/items/authors/${authors[2].id}`, { name: "Author 2 (edited)" }, "token-of-user-3");
}

(async () => {
  const server = await Server.start("fill");
  try {
    await server.login("root@example.org", "secret");
    const made = { ...(await content(server)), ...(await people(server)) };
    await work(server, made);
  } finally {
    await server.stop();
  }
})();
