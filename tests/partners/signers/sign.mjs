// Webhooks as partners send them, signed by the partners' own libraries. One JSON line each:
// the genuine one, one made with another secret, and one of an hour ago where the scheme has
// a timestamp. Slack publishes no signer: its documented algorithm stands here.
//
//   node sign.mjs PUBLIC_URL

import { createHmac } from "node:crypto";
import "@shopify/shopify-api/adapters/node";
import { createSHA256HMAC, HashFormat } from "@shopify/shopify-api/runtime";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import { getExpectedTwilioSignature } from "twilio/lib/webhooks/webhooks.js";

const publicUrl = process.argv[2];
const hour = 3600;
const whsec = (text) => `whsec_${Buffer.from(text).toString("base64")}`;

const partners = {
  stripe: {
    secrets: ["whsec_5f0a8c2e7d914b36", "whsec_another"],
    dated: true,
    body: '{"id":"evt_1","object":"event","type":"charge.refunded","note":"Zoë"}',
    signed: async (secret, seconds, body) => ({
      "Stripe-Signature": new Stripe("sk_test_unused").webhooks.generateTestHeaderString({
        payload: body,
        secret,
        timestamp: seconds,
      }),
    }),
  },
  svix: {
    secrets: [whsec("0123456789abcdef01234567"), whsec("another-secret-of-its-own")],
    dated: true,
    body: '{"type":"user.created","data":{"id":"user_1"}}',
    signed: async (secret, seconds, body) => ({
      "svix-id": "msg_1",
      "svix-timestamp": `${seconds}`,
      "svix-signature": new SvixWebhook(secret).sign("msg_1", new Date(seconds * 1000), body),
    }),
  },
  "standard-webhooks": {
    secrets: [whsec("standard-secret-of-24-by"), whsec("another-secret-of-its-own")],
    dated: true,
    body: '{"type":"invoice.paid","data":{"id":"in_1"}}',
    signed: async (secret, seconds, body) => ({
      "webhook-id": "msg_2",
      "webhook-timestamp": `${seconds}`,
      "webhook-signature": new StandardWebhook(secret).sign("msg_2", new Date(seconds * 1000), body),
    }),
  },
  shopify: {
    secrets: ["shpss_5f0a8c2e7d914b36", "shpss_another"],
    body: '{"id":820982911946154508,"total_price":"403.00"}',
    signed: async (secret, _seconds, body) => ({
      "X-Shopify-Hmac-Sha256": await createSHA256HMAC(secret, body, HashFormat.Base64),
      "X-Shopify-Webhook-Id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
      "X-Shopify-Topic": "orders/create",
    }),
  },
  slack: {
    secrets: ["8f742231b10e8888abcd99yyyzzz85a5", "another"],
    dated: true,
    body: '{"type":"event_callback","event_id":"Ev123ABC456","event":{"type":"app_mention"}}',
    signed: async (secret, seconds, body) => ({
      "X-Slack-Request-Timestamp": `${seconds}`,
      "X-Slack-Signature":
        "v0=" + createHmac("sha256", secret).update(`v0:${seconds}:${body}`).digest("hex"),
    }),
  },
  twilio: {
    secrets: ["12345678901234567890123456789012", "another"],
    type: "application/x-www-form-urlencoded",
    body: "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309",
    signed: async (secret, _seconds, body) => ({
      "X-Twilio-Signature": getExpectedTwilioSignature(
        secret,
        `${publicUrl}/in/twilio/acme`,
        Object.fromEntries(new URLSearchParams(body)),
      ),
      "I-Twilio-Idempotency-Token": "e0d0ff2f-5c4e-4ec7-b1d7-0b9e2f2d0e5d",
    }),
  },
};

const now = Math.floor(Date.now() / 1000);
for (const [partner, { secrets, dated, type, body, signed }] of Object.entries(partners)) {
  const [secret, another] = secrets;
  const line = async (kind, key, seconds) => {
    const headers = { "Content-Type": type ?? "application/json", ...(await signed(key, seconds, body)) };
    console.log(JSON.stringify({ partner, kind, secret, headers, body }));
  };
  await line("genuine", secret, now);
  await line("another secret", another, now);
  if (dated) await line("an hour old", secret, now - hour);
}
