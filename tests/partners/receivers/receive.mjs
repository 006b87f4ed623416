// A receiver of webhooks that is built on Svix's library alone. Answers 204 where the
// library believes a request and 401 where it does not, and prints a JSON line for each.
// Nothing of Tidegate's takes part in verifying.
//
// node receive.mjs PORT SECRET

import { createServer } from "node:http";
import { Webhook } from "svix";

const [port, secret] = process.argv.slice(2);
if (!secret) {
  console.error("usage: node receive.mjs PORT SECRET");
  process.exit(2);
}
// A secret without its prefix is plain text, which the library has to be told.
const raw = !secret.startsWith("whsec_");
const webhook = raw ? new Webhook(secret, { format: "raw" }) : new Webhook(secret);

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const line = { id: request.headers["webhook-id"] ?? null, verified: false };
  try {
    webhook.verify(Buffer.concat(chunks).toString("utf8"), request.headers);
    line.verified = true;
  } catch (error) {
    line.reason = String(error.message ?? error);
  }
  console.log(JSON.stringify(line));
  response.writeHead(line.verified ? 204 : 401).end();
});
server.listen(Number(port), "127.0.0.1");
