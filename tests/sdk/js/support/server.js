"use strict";
// Real servers: `everdure dev` with its own PostgreSQL, and `everdure serve` on the database of another.
const fs = require("node:fs");
const path = require("node:path");
const processes = require("./processes");

const repository = path.resolve(__dirname, "../../../..");
const program =
  process.env.EVERDURE_BIN ?? path.join(repository, process.env.CARGO_TARGET_DIR ?? "target", "release/everdure");

async function listening(child) {
  const [, address] = await child.line(/everdure is listening on (\S+)/);
  return { ...child, address };
}

/** A server with a PostgreSQL of its own. Without `dataDir` the data goes with it. */
async function dev({ dataDir, listen = "127.0.0.1:0", args = [] } = {}) {
  if (!fs.existsSync(program)) throw new Error(`no server at ${program}: cargo build --release -p everdure-cli`);
  const keep = dataDir ? ["--data-dir", dataDir] : [];
  const child = processes.start(program, ["dev", "--listen", listen, ...keep, ...args], { name: "everdure dev" });
  const [, databaseUrl] = await child.line(/^\s*url\s+(\S+)/m);
  return { ...(await listening(child)), databaseUrl };
}

/** Another server on a database that is there. */
async function serve(databaseUrl, { listen = "127.0.0.1:0", args = [] } = {}) {
  const all = ["serve", "--listen", listen, "--database-url", databaseUrl, ...args];
  return listening(processes.start(program, all, { name: "everdure serve" }));
}

module.exports = { dev, serve, program };
