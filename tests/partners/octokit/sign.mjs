// Prints GitHub's real example payloads, each signed by GitHub's own library: one JSON
// line with name, delivery, body and signature per payload. Nothing of Tidegate's takes
// part in signing.
//
// node sign.mjs SECRET

import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { sign } from "@octokit/webhooks-methods";

const [secret] = process.argv.slice(2);
if (!secret) {
  console.error("usage: node sign.mjs SECRET");
  process.exit(2);
}

const definitions = createRequire(import.meta.url)("@octokit/webhooks-examples");
let lines = "";
let number = 0;
for (const { name, examples } of definitions) {
  for (const example of examples) {
    const body = JSON.stringify(example);
    const hash = createHash("sha256").update(`${number}`).digest("hex");
    const delivery = hash.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, "$1-$2-$3-$4-$5");
    const signature = await sign(secret, body);
    lines += `${JSON.stringify({ name, delivery, body, signature })}\n`;
    number += 1;
  }
}
process.stdout.write(lines);
