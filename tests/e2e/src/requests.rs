//! Signed GitHub requests, made before a run so that signing costs it nothing.
//!
//! Each has a number, and from it an event id of its own and an entity of its own: the
//! pull request whose id is that number plus one. That is how a change is matched with
//! the request it came from.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Size of each body made by [`Requests::pull_requests`]: the bench's agreed size.
pub const BODY_BYTES: usize = 2048;

/// What GitHub sends unless a webhook is set to forms.
pub const JSON: &str = "application/json";

/// Signs as GitHub does.
#[derive(Clone)]
pub struct Signer(Hmac<Sha256>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

impl Signer {
    /// A signer with that secret.
    pub fn new(secret: &str) -> Self {
        // HMAC takes keys of any length; the error type is the trait's, not the algorithm's.
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
            unreachable!("HMAC takes keys of any length")
        };
        Self(mac)
    }

    /// The value of `X-Hub-Signature-256` for that body.
    pub fn signature(&self, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }
}

/// A webhook as GitHub sends it.
#[derive(Clone, Copy, Debug)]
pub struct Webhook<'a> {
    /// Type of the event.
    pub event: &'a str,
    /// Its delivery id.
    pub delivery: &'a str,
    /// JSON or a form.
    pub content_type: &'a str,
    /// The bytes that are signed.
    pub body: &'a [u8],
}

impl Webhook<'_> {
    /// The bytes of the request to `path`, signed.
    pub fn signed(&self, signer: &Signer, path: &str) -> Vec<u8> {
        self.with_signature(&signer.signature(self.body), path)
    }

    /// The bytes of the request with that signature, right or wrong.
    pub fn with_signature(&self, signature: &str, path: &str) -> Vec<u8> {
        let head = format!(
            "POST {path} HTTP/1.1\r\n\
             Host: localhost\r\n\
             User-Agent: GitHub-Hookshot/044aadd\r\n\
             Accept: */*\r\n\
             Content-Type: {}\r\n\
             X-GitHub-Event: {}\r\n\
             X-GitHub-Delivery: {}\r\n\
             X-Hub-Signature-256: {signature}\r\n\
             Content-Length: {}\r\n\r\n",
            self.content_type,
            self.event,
            self.delivery,
            self.body.len()
        );
        [head.as_bytes(), self.body].concat()
    }
}

/// Many requests in one piece of memory.
#[derive(Default)]
pub struct Requests {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests, {} bytes", self.len(), self.bytes.len())
    }
}

impl Requests {
    /// One opened pull request for each number, with bodies of [`BODY_BYTES`].
    pub fn pull_requests(
        numbers: impl IntoIterator<Item = usize>,
        path: &str,
        secret: &str,
    ) -> Self {
        let signer = Signer::new(secret);
        let mut requests = Self::default();
        for number in numbers {
            let webhook = Webhook {
                event: "pull_request",
                delivery: &delivery_id(number),
                content_type: JSON,
                body: &pull_request_body(number),
            };
            requests.push(&webhook.signed(&signer, path));
        }
        requests
    }

    /// Adds one request.
    pub fn push(&mut self, request: &[u8]) {
        self.bytes.extend_from_slice(request);
        self.ends.push(self.bytes.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of one of them.
    pub fn get(&self, number: usize) -> Option<&[u8]> {
        let end = *self.ends.get(number)?;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.get(start..end)
    }
}

/// The id of the entity that request `number` is about.
pub fn entity_id(number: usize) -> String {
    (number + 1).to_string()
}

/// The request that is about that entity.
pub fn number_of_entity(id: &str) -> Option<usize> {
    id.parse::<usize>().ok()?.checked_sub(1)
}

/// A GUID as GitHub sends it; the same one for the same number.
pub fn delivery_id(number: usize) -> String {
    format!("7d2d3a00-5a4f-11ef-8c3a-{number:012x}")
}

/// The request that has that delivery id.
pub fn number_of_delivery(id: &str) -> Option<usize> {
    let digits = id.strip_prefix("7d2d3a00-5a4f-11ef-8c3a-")?;
    usize::from_str_radix(digits, 16).ok()
}

fn pull_request_body(number: usize) -> Vec<u8> {
    let id = entity_id(number);
    let start = format!(
        r#"{{"action":"opened","number":{id},"pull_request":{{"url":"https://api.github.com/repos/acme/tide/pulls/{id}","id":{id},"node_id":"PR_kwDOAcme{id}","html_url":"https://github.com/acme/tide/pull/{id}","diff_url":"https://github.com/acme/tide/pull/{id}.diff","number":{id},"state":"open","locked":false,"title":"Keep the cursor on 429, take {id}","user":{{"login":"octo-{id}","id":5100,"node_id":"U_kgDOAAAT7A","avatar_url":"https://avatars.githubusercontent.com/u/5100?v=4","url":"https://api.github.com/users/octo-{id}","type":"User","site_admin":false}},"created_at":"2025-03-01T09:30:00Z","updated_at":"2025-03-01T09:30:00Z","closed_at":null,"merged_at":null,"merge_commit_sha":null,"assignee":null,"assignees":[],"requested_reviewers":[],"labels":[{{"id":208045946,"name":"bug","color":"f29513","default":true}}],"milestone":null,"draft":false,"head":{{"label":"octo:fix-{id}","ref":"fix-{id}","sha":"6dcb09b5b57875f334f61aebed695e2e4193db5e"}},"base":{{"label":"acme:main","ref":"main","sha":"c3d0be41ecbe669545ee3e94d31ed9a4bc91ee3c"}},"author_association":"CONTRIBUTOR","merged":false,"mergeable":null,"comments":0,"review_comments":0,"commits":1,"additions":10,"deletions":3,"changed_files":2,"body":""#
    );
    let end = r#""},"repository":{"id":186853002,"node_id":"MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=","name":"tide","full_name":"acme/tide","private":false,"owner":{"login":"acme","id":6811672,"type":"Organization"},"html_url":"https://github.com/acme/tide","default_branch":"main"},"organization":{"login":"acme","id":6811672},"sender":{"login":"octo","id":5100,"type":"User"}}"#;
    let filler = "A reader never misses a change, whatever the network does. ";
    let mut body = Vec::with_capacity(BODY_BYTES);
    body.extend_from_slice(start.as_bytes());
    body.extend(
        filler
            .bytes()
            .cycle()
            .take(BODY_BYTES.saturating_sub(start.len() + end.len())),
    );
    body.extend_from_slice(end.as_bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_of_the_agreed_size_with_an_entity_of_their_own() {
        for number in [0, 9, 99_999, 9_999_999] {
            let body = pull_request_body(number);
            assert_eq!(body.len(), BODY_BYTES);
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(json["pull_request"]["id"].to_string(), entity_id(number));
            assert_eq!(number_of_entity(&entity_id(number)), Some(number));
            assert_eq!(number_of_delivery(&delivery_id(number)), Some(number));
        }
    }

    #[test]
    fn signature_is_githubs_published_example() {
        let signature = Signer::new("It's a Secret to Everybody").signature(b"Hello, World!");
        assert_eq!(
            signature,
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn requests_come_back_as_they_went_in() {
        let requests = Requests::pull_requests(0..3, "/in/github/acme", "s");
        for number in 0..3 {
            let bytes = requests.get(number).unwrap();
            assert!(bytes.starts_with(b"POST /in/github/acme HTTP/1.1\r\n"));
            assert!(bytes.ends_with(&pull_request_body(number)));
        }
        assert_eq!(requests.get(3), None);
    }
}
