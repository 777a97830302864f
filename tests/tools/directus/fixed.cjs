// Required before Directus: the clock stands still and chance is counted, so that two runs write the same rows.
// (Node's own timers go on; PostgreSQL's clock isn't changed.)
const crypto = require("node:crypto");
const { syncBuiltinESMExports } = require("node:module");

const NOW = Date.parse("2026-02-02T10:00:00Z");
class Clock extends Date {
  constructor(...arguments_) {
    super(...(arguments_.length ? arguments_ : [NOW]));
  }
  static now() {
    return NOW;
  }
}
globalThis.Date = Clock;

const step = process.env.TOUR_STEP ?? "";
let drawn = 0;
/** The next bytes of this step. */
function draw(size) {
  const parts = [];
  for (let length = 0; length < size; length += 32) {
    parts.push(crypto.createHash("sha256").update(`${step} ${(drawn += 1)}`).digest());
  }
  return Buffer.concat(parts).subarray(0, size);
}
let uuids = 0;
crypto.randomUUID = () => {
  const hex = crypto.createHash("sha256").update(`${step} uuid ${(uuids += 1)}`).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
};
const { randomBytes } = crypto;
// Sixteen are a password's salt; a connection's nonce, of another length, comes at any time.
crypto.randomBytes = (size, done) => {
  if (size !== 16) return randomBytes(size, done);
  const salt = Buffer.alloc(16, 7);
  return done ? done(null, salt) : salt;
};
crypto.webcrypto.constructor.prototype.getRandomValues = (array) => {
  Buffer.from(array.buffer, array.byteOffset, array.byteLength).set(draw(array.byteLength));
  return array;
};
crypto.randomFillSync = crypto.webcrypto.getRandomValues;
syncBuiltinESMExports();
