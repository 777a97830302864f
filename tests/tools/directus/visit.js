// What visitors, readers, editors and administrators see by REST and GraphQL; the same requests at both versions.
const { Server } = require("./server.js");

const LISTS = [
  "articles?limit=-1&sort=id&fields=*", "articles?limit=20&sort=-price,id&fields=id,title,price,author.name,tags.tag.label,translations.*,children.id&deep[tags][_sort]=tag&deep[children][_sort]=id",
  "articles?filter[status][_eq]=published&filter[author][name][_starts_with]=Author 1&sort=slug&meta=*&limit=5&page=2&fields=id,slug", "articles?search=thing17&fields=id,title,body", "articles?search=42&sort=id&fields=id",
  "articles?filter[tags][tag][label][_in]=tag1,tag4&sort=id&fields=id&meta=filter_count", "articles?filter[tags][_none][tag][label][_eq]=tag2&sort=id&fields=id&limit=12",
  "articles?filter[year(published)][_eq]=2025&filter[month(published)][_gt]=9&sort=id&fields=id,month(published),count(tags)", "articles?filter[_or][0][views][_null]=true&filter[_or][1][rating][_between]=3,4&sort=id&fields=id,views,rating",
  "articles?filter[extra][_nnull]=true&filter[words][_contains]=w1&sort=id&fields=id,words,extra&limit=4", "articles?filter[author][_null]=true&sort=id&fields=id,author&limit=6",
  "articles?aggregate[count]=*&aggregate[sum]=price&aggregate[avg]=rating&groupBy[]=status&sort=status", "articles?aggregate[countDistinct]=author&aggregate[max]=views&groupBy[]=featured&sort=featured",
  "articles?filter[parent][author][email][_icontains]=EXAMPLE&sort=id&fields=id,parent.author.email&limit=5", "articles?sort=sort&limit=3&fields=id,sort,picture.title,picture.folder.name", "articles/5?fields=*.*", "articles/31?version=v1&fields=title,price,body",
  "authors?sort=name&fields=name,email,born,secret", "tags?sort=label", "articles_tags?aggregate[count]=id&groupBy[]=tag&sort=tag", "articles_translations?sort=id", "languages?sort=code", "home?fields=*,front.title", "nothing",
];
const SYSTEM = [
  "collections", "fields", "relations", "fields/articles", "roles?sort=name&fields=name,description,icon,users.email&deep[users][_sort]=email", "users?sort=email&fields=email,first_name,status,role.name,token,tags,language", "users/me?fields=email,role.name",
  "folders?sort=name", "files?sort=title&fields=title,type,filesize,width,height,folder.name,uploaded_by.email", "presets?sort=id&fields=id,collection,bookmark,role.name,user.email,layout_query", "dashboards?fields=name,panels.name,panels.options&deep[panels][_sort]=name",
  "flows?fields=name,trigger,options,operations.key,operations.type&deep[operations][_sort]=key", "notifications?sort=id&fields=id,subject,recipient.email,status", "translations?sort=language,key&fields=key,language,value", "settings?fields=project_name,project_descriptor,module_bar,public_note",
  "shares?fields=name,collection,item,role.name", "versions?sort=key&fields=key,name,collection,item,hash", "activity?aggregate[count]=id&groupBy[]=action&groupBy[]=collection&sort=action,collection", "activity?sort=id&limit=30&fields=id,action,collection,item,user.email&filter[action][_neq]=login",
  "revisions?aggregate[count]=id&groupBy[]=collection&sort=collection", "revisions?sort=id&limit=12&filter[collection][_eq]=articles&filter[item][_eq]=7&fields=id,item,data,delta,version", "server/info", "schema/snapshot", "server/specs/oas",
];
const GRAPHQL = `query { articles(sort: "id", limit: 6, filter: { status: { _eq: "published" } }) { id title author { name } tags(sort: "id") { tag { label } } children_func { count } }
  articles_aggregated(groupBy: ["status"], sort: "status") { group count { id } avg { price } } home { welcome front { title } } }`;

/** A list of rights, as each version has them. */
const RIGHTS = { 10: "permissions?sort=id&fields=id,role.name,collection,action,permissions,validation,presets,fields", 11: "permissions?sort=id&fields=id,policy.name,collection,action,permissions,validation,presets,fields" };

(async () => {
  const [version, time] = process.argv.slice(2);
  const server = await Server.start(`visit ${version} ${time}`);
  try {
    const root = "token-of-root";
    for (const list of LISTS) await server.show("GET", `/items/${list}`, undefined, root);
    for (const list of [...SYSTEM, RIGHTS[version]]) await server.show("GET", `/${list}`, undefined, root);
    if (version === "11") {
      await server.show("GET", "/comments?sort=date_created,comment&limit=30&fields=collection,item,comment,user_created.email", undefined, root);
      await server.show("GET", "/policies?sort=name&fields=name,description,admin_access,app_access,enforce_tfa,ip_access,users.user.email,roles.role.name", undefined, root);
      await server.show("GET", "/permissions/me", undefined, "token-of-user-0");
    } else {
      await server.show("GET", "/activity?sort=id&limit=30&filter[action][_eq]=comment&fields=collection,item,comment,user.email", undefined, root);
    }
    for (const token of ["token-of-user-4", "token-of-nobody"]) await server.show("GET", "/items/articles?limit=1&sort=id", undefined, token);
    for (const token of [null, "token-of-user-0", "token-of-user-2"]) {
      for (const list of ["articles?limit=6&sort=id", "articles?limit=3&sort=id&fields=id,title,author.name", "authors?sort=name&limit=4&fields=name", "authors?limit=1&fields=email", "articles/4", "articles/5", "tags?sort=id&limit=2"]) {
        await server.show("GET", `/items/${list}`, undefined, token);
      }
      await server.show("GET", "/users/me?fields=email", undefined, token);
    }
    await server.show("POST", "/graphql", { query: GRAPHQL }, root);
    await server.show("POST", "/graphql/system", { query: '{ users(sort: "email") { email role { name } } files_aggregated { count { id } } }' }, root);
    await server.show("GET", "/server/specs/graphql/", undefined, root);
    const files = await server.must("GET", "/files?sort=title&fields=id", undefined, root);
    for (const file of files) await server.show("GET", `/assets/${file.id}?width=10`, undefined, root);
    await server.show("GET", "/admin/login", undefined, null);
  } finally {
    await server.stop();
  }
})();
