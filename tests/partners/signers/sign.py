"""Webhooks signed by the partners' own Python libraries: one JSON line each, as sign.mjs."""

import base64
import copy
import datetime
import json
import time

import Adyen
import standardwebhooks
import stripe

HOUR = 3600
NOW = int(time.time())


def say(partner, kind, secret, headers, body):
    headers = {"Content-Type": "application/json", **headers}
    line = {"partner": partner, "kind": kind, "secret": secret, "headers": headers, "body": body}
    print(json.dumps(line))


def of_stripe(secret, seconds, body):
    signature = stripe.WebhookSignature._compute_signature(f"{seconds}.{body}", secret)
    return {"Stripe-Signature": f"t={seconds},v1={signature}"}, body


def of_standard_webhooks(secret, seconds, body):
    at = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    signature = standardwebhooks.Webhook(secret).sign("msg_3", at, body)
    headers = {
        "webhook-id": "msg_3",
        "webhook-timestamp": str(seconds),
        "webhook-signature": signature,
    }
    return headers, body


def of_adyen(secret, _seconds, body):
    notification = json.loads(body)
    for item in notification["notificationItems"]:
        item = item["NotificationRequestItem"]
        unsigned = copy.deepcopy(item)
        signature = Adyen.util.generate_notification_sig(unsigned, secret)
        text = signature.decode() if isinstance(signature, bytes) else signature
        item["additionalData"] = {"hmacSignature": text}
    return {}, json.dumps(notification)


def whsec(text):
    return "whsec_" + base64.b64encode(text.encode()).decode()


ADYEN = {
    "live": "false",
    "notificationItems": [
        {
            "NotificationRequestItem": {
                "pspReference": "7914073381342284",
                "merchantAccountCode": "TestMerchant",
                "merchantReference": "TestPayment-1407325143704",
                "amount": {"value": 1130, "currency": "EUR"},
                "eventCode": "AUTHORISATION",
                "success": "true",
            }
        }
    ],
}

PARTNERS = {
    "stripe": (of_stripe, ["whsec_python", "whsec_other"], True, '{"id":"evt_2","type":"charge.failed"}'),
    "standard-webhooks": (
        of_standard_webhooks,
        [whsec("a python secret of 24 by"), whsec("another-secret-of-its-own")],
        True,
        '{"type":"invoice.paid","data":{"id":"in_2"}}',
    ),
    "adyen": (of_adyen, ["44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056", "00FF"], False, json.dumps(ADYEN)),
}

for partner, (signed, (secret, another), dated, body) in PARTNERS.items():
    cases = [("genuine", secret, NOW), ("another secret", another, NOW)]
    if dated:
        cases.append(("an hour old", secret, NOW - HOUR))
    for kind, key, seconds in cases:
        say(partner, kind, secret, *signed(key, seconds, body))
