"""A receiver of webhooks that is built on the libraries of Standard Webhooks and of
CloudEvents. Answers 204 where both believe a request, 401 where the signature is wrong and
400 where there is no event in it, and prints a JSON line for each. Nothing of Tidegate's
takes part in verifying.

python3 receive.py PORT SECRET
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook

BATCH = "application/cloudevents-batch+json"


def events(headers: dict, body: bytes) -> list:
    """The events of a request, in any of the three modes."""
    if not headers.get("content-type", "").startswith(BATCH):
        return [from_http_event(HTTPMessage(headers=headers, body=body))]
    one = {"content-type": "application/cloudevents+json"}
    parts = [json.dumps(part).encode() for part in json.loads(body)]
    return [from_http_event(HTTPMessage(headers=one, body=part)) for part in parts]


class Receiver(BaseHTTPRequestHandler):
    """Verifies, reads, answers."""

    protocol_version = "HTTP/1.1"
    webhook: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        line = {"id": headers.get("webhook-id"), "verified": False}
        status = 401
        try:
            self.webhook.verify(body, headers)
            line["verified"] = True
            status = 400
            line["events"] = [described(event) for event in events(headers, body)]
            status = 204
        except Exception as error:  # whatever a library says is the finding
            line["reason"] = f"{type(error).__name__}: {error}"
        # In one piece, since many threads write.
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """The lines above are the log."""


def described(event) -> dict:
    """What a test compares."""
    names = ("id", "source", "type", "subject", "sequence", "partitionkey")
    attributes = event.get_attributes()
    shown = {name: attributes.get(name) for name in names}
    data = event.get_data()
    shown["data"] = json.loads(data) if isinstance(data, (bytes, str)) else data
    return shown


class Server(ThreadingHTTPServer):
    """Takes as many connections at once as a sink opens."""

    request_queue_size = 256
    daemon_threads = True


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: receive.py PORT SECRET")
    port, secret = sys.argv[1:]
    # A secret without its prefix is plain text, which the library takes as bytes.
    Receiver.webhook = Webhook(secret if secret.startswith("whsec_") else secret.encode())
    Server(("127.0.0.1", int(port)), Receiver).serve_forever()


if __name__ == "__main__":
    main()
