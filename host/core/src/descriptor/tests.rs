use serde_json::{Value, json};

use super::read::{
    ACCOUNT_HEADER_KEYS, ACCOUNT_JSON_KEYS, ACKNOWLEDGE_BODY_BYTES_MAX, ACKNOWLEDGE_KEYS,
    BASE_URL_BYTES_MAX, ENTITIES_MAX, ENTITY_KEYS, HANDSHAKES_MAX, HOSTS_MAX, KEYS,
    RATE_LIMIT_KEYS, RATE_PER_S_MAX, RATE_REQUESTS_MAX, RETRY_HORIZON_S_MAX, TITLE_BYTES_MAX,
};
use super::*;
use crate::limits::{DESCRIPTOR_BYTES_MAX, ENTITY_KIND_BYTES_MAX};
use crate::signature::scheme_json as scheme;
use crate::signature::{Algorithm, Encoding, HandshakeKind, TimestampUnit, UrlVariant};

fn github() -> Value {
    json!({
        "descriptor": 1,
        "name": "github",
        "title": "GitHub",
        "scheme": {
            "algorithm": "hmac-sha256",
            "key": "utf8",
            "signature": {
                "in": "header", "name": "X-Hub-Signature-256", "encoding": "hex", "prefix": "sha256=",
            },
            "content": "{body}",
        },
        "event_id": {"in": "header", "name": "X-GitHub-Delivery"},
        "handshakes": [],
        "hosts": ["api.github.com"],
        "base_url": "https://api.github.com",
        "credentials": ["bearer"],
        "entities": [{"kind": "issue", "title": "Issues", "versioned": true}],
        "account": {"in": "json", "pointer": "/organization/login"},
        "rate_limit": {"requests": 5000, "per_s": 3600},
        "retry_horizon_s": 259_200,
        "acknowledge": {"status": 202, "body": "[accepted]"},
    })
}

fn parse(document: &Value) -> Result<Descriptor, Vec<String>> {
    Descriptor::parse(document.to_string().as_bytes()).map_err(|problems| {
        problems
            .as_slice()
            .iter()
            .map(ToString::to_string)
            .collect()
    })
}

/// What authors begin with.
#[test]
fn the_descriptor_of_the_sdks_example_is_good() {
    let readme = include_str!("../../../../sdk/rust/README.md");
    let (_, example) = readme.split_once("r#\"{").unwrap();
    let (document, _) = example.split_once("\"#").unwrap();
    let descriptor = Descriptor::parse(format!("{{{document}").as_bytes()).unwrap();
    assert_eq!(descriptor.name().as_str(), "harbour");
    assert!(descriptor.scheme().is_some());
}

#[test]
fn a_whole_descriptor_is_read() {
    let descriptor = parse(&github()).unwrap();
    assert_eq!(descriptor.name().as_str(), "github");
    assert_eq!(descriptor.title(), "GitHub");
    let scheme = descriptor.scheme().unwrap();
    assert_eq!(scheme.algorithm().text(), "hmac-sha256");
    assert_eq!(scheme.event_id().to_string(), "header x-github-delivery");
    assert_eq!(
        descriptor
            .hosts()
            .iter()
            .map(HostName::as_str)
            .collect::<Vec<_>>(),
        ["api.github.com"]
    );
    assert_eq!(descriptor.base_url(), Some("https://api.github.com"));
    assert!(descriptor.credentials().contains(&Credential::Bearer));
    assert_eq!(descriptor.entities()[0].kind, "issue");
    assert_eq!(
        descriptor.rate_limit(),
        Some(RateLimit {
            requests: 5000,
            per_s: 3600
        })
    );
    assert_eq!(descriptor.retry_horizon_s(), Some(259_200));
    let acknowledge = Acknowledge {
        status: 202,
        body: Some("[accepted]".into()),
    };
    assert_eq!(descriptor.acknowledge(), Some(&acknowledge));
    assert_eq!(descriptor.handshakes(), []);
}

#[test]
fn most_of_it_is_optional() {
    let descriptor = parse(&json!({"descriptor": 1, "name": "quiet", "title": "Quiet"})).unwrap();
    assert_eq!((descriptor.scheme(), descriptor.account()), (None, None));
}

/// Changes one thing of a good descriptor and names every problem that it makes.
#[track_caller]
fn check(change: impl FnOnce(&mut Value), expected: &[&str]) {
    let mut document = github();
    change(&mut document);
    assert_eq!(parse(&document).err().unwrap_or_default(), expected);
}

#[test]
fn every_mistake_is_named_at_once() {
    check(
        |d| {
            d["eventid"] = json!(null);
            d["hosts"] = json!([
                "https://api.github.com",
                "10.0.0.1",
                "*.github.com",
                "localhost"
            ]);
            d["base_url"] = json!(7);
            d["credentials"] = json!(["baerer"]);
            d["rate_limit"] = json!({"requests": 0, "per": 1});
        },
        &[
            "/eventid: unknown key \"eventid\"; did you mean \"event_id\"?",
            "/hosts/0: has to be a host's DNS name in lower case, like api.github.com: no scheme, port, path, wildcard or address",
            "/hosts/1: has to be a host's DNS name in lower case, like api.github.com: no scheme, port, path, wildcard or address",
            "/hosts/2: has to be a host's DNS name in lower case, like api.github.com: no scheme, port, path, wildcard or address",
            "/hosts/3: has to be a host's DNS name in lower case, like api.github.com: no scheme, port, path, wildcard or address",
            "/base_url: is a number, and has to be a text",
            "/credentials/0: unknown use of credentials \"baerer\"; did you mean \"bearer\"?",
            "/rate_limit/per: unknown key \"per\"; did you mean \"per_s\"?",
            "/rate_limit: key \"per_s\" is missing",
            "/rate_limit/requests: has to be a whole number from 1 to 1000000",
        ],
    );
}

#[test]
fn parts_are_checked() {
    check(
        |d| d["name"] = json!("GitHub"),
        &[
            "/name: connector name \"GitHub\" is not 1 to 63 lower-case letters, digits and hyphens that begin with a letter",
        ],
    );
    check(
        |d| d["hosts"] = json!(["a.example", "a.example", "api.github.com"]),
        &["/hosts/1: is there twice"],
    );
    check(
        |d| d["base_url"] = json!("https://other.example"),
        &["/base_url: has to name one of \"hosts\", without a port"],
    );
    check(
        |d| d["base_url"] = json!("http://api.github.com"),
        &["/base_url: has to begin with https://"],
    );
    check(
        |d| d["base_url"] = json!("https://api.github.com/?q"),
        &["/base_url: has to be a URL without query, fragment and slash at its end"],
    );
    check(
        |d| d["entities"] = json!([{"kind": "Issue", "title": "I", "versioned": true}]),
        &["/entities/0/kind: has to be of lower-case letters, digits, \"_\", \"-\" and \".\""],
    );
    check(
        |d| {
            let entity = json!({"kind": "issue", "title": "I", "versioned": true});
            d["entities"] = json!([entity, entity]);
        },
        &["/entities/1: kind \"issue\" is there twice"],
    );
    check(
        |d| d["account"] = json!({"in": "header", "name": "Authorization"}),
        &["/account/name: carries a credential and names no account"],
    );
    check(
        |d| d["acknowledge"] = json!({"status": 404}),
        &["/acknowledge/status: has to be a whole number from 200 to 299"],
    );
    check(
        |d| d["event_id"] = json!({"in": "header", "name": "Cookie"}),
        &["/event_id: header cookie carries a credential and is no event id"],
    );
    check(
        |d| _ = d.as_object_mut().unwrap().remove("scheme"),
        &["/event_id: has no meaning without a scheme: no webhook is taken"],
    );
    check(
        |d| d["hosts"] = json!(vec!["a.example"; 65]),
        &[
            "/hosts: has 65 elements; at most 64",
            "/base_url: has to name one of \"hosts\", without a port",
        ],
    );
}

#[test]
fn what_this_version_cannot_do_is_refused_by_name() {
    check(
        |d| {
            d["scheme"]["algorithm"] = json!("special: morse");
        },
        &[
            "/scheme/algorithm: scheme algorithm \"special: morse\" is not supported by this version",
        ],
    );
    check(
        |d| d["handshakes"] = json!([{"kind": "echo-chalenge"}]),
        &[
            "/handshakes/0/kind: unknown handshake \"echo-chalenge\"; did you mean \"echo-challenge\"?",
        ],
    );
    check(
        |d| d["handshakes"] = json!(["pong"]),
        &["/handshakes/0: handshake \"pong\" needs a description: {\"kind\": \"pong\", …}"],
    );
    check(
        |d| d["handshakes"] = json!([{"kind": "probe", "challenge": "x", "method": "POST"}]),
        &[
            "/handshakes/0/challenge: unknown key \"challenge\"; known: kind, method, when",
            "/handshakes/0/method: is a method that carries events",
        ],
    );
    check(
        |d| d["descriptor"] = json!(2),
        &["/descriptor: is version 2 of the descriptor; this version of Tidegate reads 1"],
    );
}

#[test]
fn a_document_that_is_none_is_refused() {
    let message = |document: &[u8]| Descriptor::parse(document).unwrap_err().to_string();
    assert!(message(b"{").starts_with("the descriptor is not JSON: "));
    assert_eq!(message(b"[]"), "is a list, and has to be an object");
    let huge = vec![b' '; DESCRIPTOR_BYTES_MAX + 1];
    assert_eq!(
        message(&huge),
        "the descriptor has 262145 bytes; at most 262144"
    );
}

/// The published schema. It and the parser are two texts; the tests below keep them one
/// truth.
fn schema() -> Value {
    serde_json::from_str(include_str!("../../../../wit/descriptor.schema.json")).unwrap()
}

#[track_caller]
fn check_keys(pointer: &str, forms: &[&[&'static str]]) {
    let schema = schema();
    let object = schema.pointer(pointer).unwrap();
    assert_eq!(object["additionalProperties"], json!(false), "{pointer}");
    let properties = object["properties"].as_object().unwrap();
    let keys: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
    assert_eq!(keys, forms.concat().into_iter().collect(), "{pointer}");
}

#[test]
fn the_published_schema_knows_the_keys_that_the_parser_knows() {
    check_keys("", &[&KEYS]);
    check_keys(
        "/$defs/account",
        &[&ACCOUNT_HEADER_KEYS, &ACCOUNT_JSON_KEYS],
    );
    check_keys("/$defs/acknowledge", &[&ACKNOWLEDGE_KEYS]);
    check_keys("/$defs/entity", &[&ENTITY_KEYS]);
    check_keys("/$defs/rate_limit", &[&RATE_LIMIT_KEYS]);
    check_keys("/$defs/scheme", &[&scheme::SCHEME_KEYS]);
    check_keys(
        "/$defs/signature/oneOf/0",
        &[
            &scheme::SINGLE_KEYS,
            &scheme::LIST_KEYS,
            &scheme::KEY_VALUE_LIST_KEYS,
        ],
    );
    check_keys(
        "/$defs/signature/oneOf/1",
        &[&scheme::NUMBERED_HEADERS_KEYS],
    );
    check_keys("/$defs/signature/oneOf/2", &[&scheme::SIGNATURE_JSON_KEYS]);
    check_keys("/$defs/signature/oneOf/3", &[&scheme::JSON_EACH_KEYS]);
    check_keys(
        "/$defs/signature/oneOf/4",
        &[&scheme::SIGNATURE_HEADERS_KEYS],
    );
    check_keys("/$defs/signature/oneOf/5", &[&scheme::SIGNATURE_QUERY_KEYS]);
    check_keys(
        "/$defs/signature/oneOf/6",
        &[
            &scheme::SINGLE_KEYS,
            &scheme::LIST_KEYS,
            &scheme::KEY_VALUE_LIST_KEYS,
        ],
    );
    check_keys(
        "/$defs/timestamp",
        &[
            &scheme::TIMESTAMP_HEADER_KEYS,
            &scheme::TIMESTAMP_ITEM_KEYS,
            &scheme::TIMESTAMP_JSON_KEYS,
        ],
    );
    check_keys(
        "/$defs/event_id",
        &[
            &scheme::EVENT_ID_HEADER_KEYS,
            &scheme::EVENT_ID_POINTER_KEYS,
            &scheme::EVENT_ID_TEMPLATE_KEYS,
            &scheme::EVENT_ID_PATH_KEYS,
            &scheme::EVENT_ID_FIRST_KEYS,
        ],
    );
    check_keys("/$defs/split", &[&crate::signature::SPLIT_KEYS]);
    check_keys("/$defs/handshake", &[&crate::signature::HANDSHAKE_KEYS]);
    check_keys("/$defs/body_hash", &[&scheme::BODY_HASH_KEYS]);
    check_keys("/$defs/url_hash", &[&scheme::URL_HASH_KEYS]);
    check_keys("/$defs/key_url", &[&scheme::KEY_URL_KEYS]);
}

#[track_caller]
fn check_schema_at(pointer: &str, expected: impl Into<Value>) {
    assert_eq!(
        schema().pointer(pointer),
        Some(&expected.into()),
        "{pointer}"
    );
}

#[test]
fn the_published_schema_knows_the_words_that_the_parser_knows() {
    check_schema_at(
        "/properties/credentials/items/enum",
        json!(Credential::NAMES),
    );
    check_schema_at(
        "/$defs/handshake/properties/kind/enum",
        json!(HandshakeKind::NAMES),
    );
    check_schema_at("/$defs/algorithm/anyOf/0/enum", json!(Algorithm::NAMES));
    check_schema_at("/$defs/encoding/enum", json!(Encoding::NAMES));
    check_schema_at(
        "/$defs/handshake/properties/method/enum",
        json!(crate::signature::HANDSHAKE_METHODS),
    );
    check_schema_at(
        "/$defs/event_id/properties/in/enum",
        json!(scheme::EVENT_ID_PLACES),
    );
    check_schema_at(
        "/$defs/timestamp/properties/in/enum",
        json!(scheme::TIMESTAMP_PLACES),
    );
    check_schema_at(
        "/$defs/timestamp/properties/unit/enum",
        json!(TimestampUnit::NAMES),
    );
    check_schema_at(
        "/$defs/scheme/properties/url_variants/items/enum",
        json!(UrlVariant::NAMES),
    );
}

#[test]
fn the_published_schema_has_the_bounds_that_the_parser_has() {
    check_schema_at("/properties/hosts/maxItems", HOSTS_MAX);
    check_schema_at("/properties/handshakes/maxItems", HANDSHAKES_MAX);
    check_schema_at("/properties/entities/maxItems", ENTITIES_MAX);
    check_schema_at("/properties/credentials/maxItems", Credential::NAMES.len());
    check_schema_at("/properties/title/maxLength", TITLE_BYTES_MAX);
    check_schema_at("/properties/base_url/maxLength", BASE_URL_BYTES_MAX);
    check_schema_at("/properties/retry_horizon_s/maximum", RETRY_HORIZON_S_MAX);
    check_schema_at(
        "/$defs/entity/properties/kind/maxLength",
        ENTITY_KIND_BYTES_MAX,
    );
    check_schema_at(
        "/$defs/rate_limit/properties/requests/maximum",
        RATE_REQUESTS_MAX,
    );
    check_schema_at("/$defs/rate_limit/properties/per_s/maximum", RATE_PER_S_MAX);
    check_schema_at(
        "/$defs/acknowledge/properties/body/maxLength",
        ACKNOWLEDGE_BODY_BYTES_MAX,
    );
    check_schema_at(
        "/$defs/timestamp/properties/tolerance_s/maximum",
        scheme::TOLERANCE_S_MAX,
    );
    check_schema_at(
        "/$defs/scheme/properties/max_age_s/maximum",
        scheme::TOLERANCE_S_MAX,
    );
    check_schema_at(
        "/$defs/scheme/properties/url_variants/maxItems",
        scheme::URL_VARIANTS_MAX,
    );
    check_schema_at("/$defs/text/maxLength", scheme::TEXT_BYTES_MAX);
}
