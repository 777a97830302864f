// Directus' server, and requests to it whose answers are printed.
const { spawn } = require("node:child_process");
const http = require("node:http");
const net = require("node:net");
const path = require("node:path");

const today = new Date().toISOString().slice(0, 10);
const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
/** A text without what PostgreSQL's clock said, and without tokens (their signatures hold nothing that's compared). */
function timeless(text, port) {
  return text
    .replaceAll(`127.0.0.1:${port}`, "<server>")
    .replace(new RegExp(`(${today}|${yesterday})[T ][0-9:.]+(Z|[+-][0-9:]+)?`, "g"), "<now>")
    .replace(/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, "<token>");
}

/** A value with the keys of its objects in order. */
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).toSorted().map((key) => [key, sorted(value[key])]));
}

async function port() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

function request(options, body) {
  return new Promise((done, failed) => {
    const sent = http.request({ host: "127.0.0.1", agent: false, ...options }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => done({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts) }));
    });
    sent.on("error", failed);
    sent.end(body);
  });
}

class Server {
  static async start(step) {
    const server = new Server();
    server.port = await port();
    server.child = spawn(
      process.execPath,
      ["--require", path.join(__dirname, "fixed.cjs"), path.join(process.env.DIRECTUS, "node_modules/directus/cli.js"), "start"],
      { env: { ...process.env, HOST: "127.0.0.1", PORT: `${server.port}`, TOUR_STEP: step }, stdio: ["ignore", 2, 2] },
    );
    server.ended = new Promise((done) => server.child.once("exit", done));
    for (let waited = 0; ; waited += 1) {
      if (server.child.exitCode !== null || waited > 1200) throw new Error("Directus doesn't answer");
      const pong = await request({ port: server.port, path: "/server/ping" }).catch(() => null);
      if (pong?.status === 200) return server;
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  async stop() {
    this.child.kill("SIGTERM");
    await this.ended;
  }

  /** Sends a request; the token is of who asks. */
  async ask(method, url, body, token = this.token, type = "application/json") {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    let bytes;
    if (body !== undefined) {
      bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
      headers["content-type"] = type;
      headers["content-length"] = bytes.length;
    }
    const answer = await request({ port: this.port, path: encodeURI(url), method, headers }, bytes);
    const text = answer.body.toString();
    answer.data = answer.headers["content-type"]?.startsWith("application/json") && text ? JSON.parse(text) : undefined;
    answer.text = text;
    return answer;
  }

  /** Sends a request that must be answered well, and gives what it answers. */
  async must(method, url, body, ...more) {
    const answer = await this.ask(method, url, body, ...more);
    if (answer.status >= 300) throw new Error(`${method} ${url}: ${answer.status} ${answer.text}`);
    return answer.data?.data;
  }

  /**
   * Sends a request and prints the answer, a line for each item of a list. Directus reads its own tables and the catalog without an
   * order: keys are sorted, and lists that weren't asked for in an order.
   */
  async show(method, url, body, ...more) {
    const answer = await this.ask(method, url, body, ...more);
    console.log(`== ${method} ${url} ${answer.status} ${answer.headers["content-type"] ?? ""}`);
    const { data, text } = answer;
    let lines = [`${text.length} bytes`];
    if (url.startsWith("/server/specs") || url.startsWith("/schema/")) lines = (data ? JSON.stringify(sorted(data), null, 1) : text).split("\n").toSorted();
    else if (Array.isArray(data?.data)) {
      lines = data.data.map((item) => JSON.stringify(sorted(item)));
      if (!url.includes("sort=")) lines.sort();
      if (data.meta) lines.push(JSON.stringify(data.meta));
    } else if (data !== undefined) lines = [JSON.stringify(sorted(data))];
    else if (answer.headers["content-type"]?.startsWith("text/")) lines = text.split("\n");
    for (const line of lines) console.log(`  ${timeless(line, this.port)}`);
    return data?.data;
  }

  /** Waits for what the server does after it has answered. */
  async until(url, fulfilled, ...more) {
    for (let waited = 0; waited < 600; waited += 1) {
      if (fulfilled(await this.must("GET", url, undefined, ...more))) return;
      await new Promise((done) => setTimeout(done, 100));
    }
    throw new Error(`${url} isn't as it should become`);
  }

  /** Sends a file as a form does. */
  upload(fields, name, type, content, method = "POST", url = "/files") {
    const mark = "a-boundary";
    const parts = Object.entries(fields).map(([key, value]) => `--${mark}\r\nContent-Disposition: form-data; name="${key}"\r\n\r\n${value}\r\n`);
    const head = `--${mark}\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: ${type}\r\n\r\n`;
    return [method, url, Buffer.concat([Buffer.from(parts.join("") + head), Buffer.from(content), Buffer.from(`\r\n--${mark}--\r\n`)]), undefined, `multipart/form-data; boundary=${mark}`];
  }

  async login(email, password) {
    const answer = await this.must("POST", "/auth/login", { email, password }, null);
    this.token = answer.access_token;
  }
}

module.exports = { Server };
