//! RFC 9421's own vectors (appendix B and section 2.4), and what a verifier must not accept.

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_core::signature::{KeySet, RawRequest, Scheme, Secret, explain, verify};
use tidegate_core::time::Timestamp;

use crate::signing::scheme;

const RSA_PSS: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----";
const RSA: &str = "-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAhAKYdtoeoy8zcAcR874L8cnZxKzAGwd7v36APp7Pv6Q2jdsPBRrw
WEBnez6d0UDKDwGbc6nxfEXAy5mbhgajzrw3MOEt8uA5txSKobBpKDeBLOsdJKFq
MGmXCQvEG7YemcxDTRPxAleIAgYYRjTSd/QBwVW9OwNFhekro3RtlinV0a75jfZg
kne/YiktSvLG34lw2zqXBDTC5NHROUqGTlML4PlNZS5Ri2U4aCNx2rUPRcKIlE0P
uKxI4T+HIaFpv8+rdV6eUgOrB2xeI1dSFFn/nnv5OoZJEIB+VmuKn3DCUcCZSFlQ
PSXSfBDiUGhwOw76WuSSsf1D4b/vLoJ10wIDAQAB
-----END RSA PUBLIC KEY-----";
const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----";
const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----";
const SHARED: &str =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

const CREATED: i64 = 1_618_884_473;

/// The request of appendix B.2.
fn request() -> RawRequest {
    let headers = [
        ("host", "example.com"),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        (
            "content-digest",
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        ),
        ("content-length", "18"),
    ];
    RawRequest {
        method: "POST".into(),
        url: Some("https://example.com/foo?param=Value&Pet=dog".into()),
        path: vec![],
        query: "param=Value&Pet=dog".into(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Bytes::from_static(value.as_bytes())))
            .collect(),
        body: Bytes::from_static(br#"{"hello": "world"}"#),
    }
}

fn with(mut raw: RawRequest, label: &str, input: &str, signature: &str) -> RawRequest {
    let mut push = |name: &str, value: String| raw.headers.push((name.to_owned(), value.into()));
    push("signature-input", format!("{label}={input}"));
    push("signature", format!("{label}=:{signature}:"));
    raw
}

/// A scheme that asks for these components.
fn asking(key: &str, components: &Value) -> Scheme {
    let form = if key == SHARED {
        "base64"
    } else {
        "public key"
    };
    scheme(&json!({
        "algorithm": "special: rfc9421", "key": form, "components": components,
        "timestamp": {
            "in": "signature-parameter", "name": "created", "unit": "s", "tolerance_s": 300,
        },
    }))
}

fn code(raw: &RawRequest, scheme: &Scheme, key: &str, now: i64) -> &'static str {
    let secret = Secret::new(key.as_bytes().to_vec()).unwrap();
    let keys = KeySet::prepare(scheme, [secret]).unwrap();
    let now = Timestamp::from_secs(now);
    let explained = explain(raw, scheme, &keys, None, now).verdict;
    let verdict = verify(raw.clone(), scheme, &keys, None, now);
    assert_eq!(verdict.as_ref().err(), explained.as_ref().err());
    verdict.err().map_or("ok", |refusal| refusal.code())
}

#[track_caller]
fn check(raw: &RawRequest, key: &str, expected: &str) {
    let scheme = asking(key, &json!([]));
    assert_eq!(code(raw, &scheme, key, CREATED), expected);
}

const B22: &str = r#"("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#;
const B22_SIGNATURE: &str = "LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==";
const B26: &str = r#"("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
const B26_SIGNATURE: &str =
    "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";

#[test]
fn appendix_b2_verifies() {
    let vectors = [
        (
            "sig-b21",
            RSA_PSS,
            r#"();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#,
            "d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==",
        ),
        ("sig-b22", RSA_PSS, B22, B22_SIGNATURE),
        (
            "sig-b23",
            RSA_PSS,
            r#"("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#,
            "bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==",
        ),
        (
            "sig-b25",
            SHARED,
            r#"("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
            "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
        ),
        ("sig-b26", ED25519, B26, B26_SIGNATURE),
    ];
    for (label, key, input, signature) in vectors {
        let raw = with(request(), label, input, signature);
        check(&raw, key, "ok");
        let mut other = raw.clone();
        other.url = Some("https://example.org/bar?param=Value&Pet=cat".into());
        other.headers[1].1 = Bytes::from_static(b"Wed, 21 Apr 2021 02:07:55 GMT");
        let expected = if label == "sig-b21" { "ok" } else { "no_match" };
        check(&other, key, expected);
    }
}

/// B.2.4 signs a response, which no webhook is: it is refused for the component that only
/// a response has. Its key and signature are checked over its published base.
#[test]
fn appendix_b24_is_of_a_response() {
    let raw = with(
        request(),
        "sig-b24",
        r#"("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256""#,
        "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==",
    );
    check(&raw, P256, "signature_malformed");
    let base = "\"@status\": 200\n\"content-type\": application/json\n\"content-digest\": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:\n\"content-length\": 23\n\"@signature-params\": (\"@status\" \"content-type\" \"content-digest\" \"content-length\");created=1618884473;keyid=\"test-key-ecc-p256\"";
    let plain = scheme(&json!({
        "algorithm": "ecdsa-p256-sha256 (fixed)", "key": "SPKI PEM", "content": "{body}",
        "signature": {"in": "header", "name": "x-signature", "encoding": "base64"},
    }));
    let mut response = request();
    response.body = Bytes::from_static(base.as_bytes());
    response.headers.push((
        "x-signature".into(),
        Bytes::from_static(
            b"wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==",
        ),
    ));
    assert_eq!(code(&response, &plain, P256, CREATED), "ok");
}

#[test]
fn appendix_b3_verifies() {
    let mut raw = request();
    raw.url = Some("https://service.internal.example/foo?param=Value&Pet=dog".into());
    raw.headers.push((
        "client-cert".into(),
        Bytes::from_static(b":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:"),
    ));
    let raw = with(
        raw,
        "ttrp",
        r#"("@path" "@query" "@method" "@authority" "client-cert");created=1618884473;keyid="test-key-ecc-p256""#,
        "xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw==",
    );
    check(&raw, P256, "ok");
}

#[test]
fn appendix_b4_knows_what_a_message_may_change() {
    let message = |method: &str, url: &str, accept: &[&str]| {
        let mut raw = request();
        raw.method = method.into();
        raw.url = Some(url.into());
        for value in accept {
            let value = Bytes::from((*value).to_owned());
            raw.headers.push(("accept".into(), value));
        }
        with(
            raw,
            "transform",
            r#"("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519""#,
            "ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==",
        )
    };
    let url = "https://example.org/demo?name1=Value1&Name2=value2";
    let both = ["application/json", "*/*"];
    check(&message("GET", url, &both), ED25519, "ok");
    check(
        &message("GET", &format!("{url}&param=added"), &both),
        ED25519,
        "ok",
    );
    check(
        &message("GET", url, &["application/json, */*"]),
        ED25519,
        "ok",
    );
    check(
        &message(
            "POST",
            "https://example.com/demo?name1=Value1&Name2=value2",
            &both,
        ),
        ED25519,
        "no_match",
    );
    check(
        &message("GET", url, &["*/*", "application/json"]),
        ED25519,
        "no_match",
    );
}

/// Section 4.3, as the proxy sends it on.
fn two_labels() -> RawRequest {
    let mut raw = request();
    raw.url = Some("https://origin.host.internal.example/foo?param=Value&Pet=dog".into());
    let mut push = |name: &str, value: &'static str| {
        raw.headers
            .push((name.to_owned(), Bytes::from_static(value.as_bytes())));
    };
    push("forwarded", "for=192.0.2.123;host=example.com;proto=https");
    push(
        "signature-input",
        r#"sig1=("@method" "@authority" "@path" "content-digest" "content-type" "content-length");created=1618884475;keyid="test-key-ecc-p256", proxy_sig=("@method" "@authority" "@path" "content-digest" "content-type" "content-length" "forwarded");created=1618884480;keyid="test-key-rsa";alg="rsa-v1_5-sha256";expires=1618884540"#,
    );
    push(
        "signature",
        "sig1=:X5spyd6CFnAG5QnDyHfqoSNICd+BUP4LYMz2Q0JXlb//4Ijpzp+kve2w4NIyqeAuM7jTDX+sNalzA8ESSaHD3A==:, proxy_sig=:S6ZzPXSdAMOPjN/6KXfXWNO/f7V6cHm7BXYUh3YD/fRad4BCaRZxP+JH+8XY1I6+8Cy+CM5g92iHgxtRPz+MjniOaYmdkDcnL9cCpXJleXsOckpURl49GwiyUpZ10KHgOEe11sx3G2gxI8S0jnxQB+Pu68U9vVcasqOWAEObtNKKZd8tSFu7LB5YAv0RAGhB8tmpv7sFnIm9y+7X5kXQfi8NMaZaA8i2ZHwpBdg7a6CMfwnnrtflzvZdXAsD3LH2TwevU+/PBPv0B6NMNk93wUs/vfJvye+YuI87HU38lZHowtznbLVdp770I6VHR6WfgS9ddzirrswsE1w5o0LV/g==:",
    );
    raw
}

#[test]
fn any_label_that_holds_is_enough() {
    let raw = two_labels();
    check(&raw, RSA, "ok");
    // The proxy changed the authority that the first one covers.
    check(&raw, P256, "no_match");
    let mut original = raw.clone();
    original.url = request().url;
    check(&original, P256, "ok");
    let scheme = asking(RSA, &json!(["forwarded", "content-digest"]));
    assert_eq!(code(&raw, &scheme, RSA, 1_618_884_540), "ok");
    assert_eq!(code(&raw, &scheme, RSA, 1_618_884_541), "timestamp_too_old");
}

#[test]
fn what_a_signature_does_not_cover_is_not_believed() {
    let raw = with(request(), "sig-b22", B22, B22_SIGNATURE);
    let asked = |components: Value| {
        let scheme = asking(RSA_PSS, &components);
        code(&raw, &scheme, RSA_PSS, CREATED)
    };
    assert_eq!(asked(json!(["@authority", "content-digest"])), "ok");
    assert_eq!(asked(json!(["\"@query-param\";name=\"Pet\""])), "ok");
    assert_eq!(
        asked(json!(["\"@query-param\";name=\"param\""])),
        "not_covered"
    );
    assert_eq!(asked(json!(["@method"])), "not_covered");
    let default = scheme(&json!({"algorithm": "special: rfc9421", "key": "public key"}));
    assert_eq!(code(&raw, &default, RSA_PSS, CREATED), "not_covered");
    let mut other = raw.clone();
    other.body = Bytes::from_static(br#"{"hello": "w0rld"}"#);
    check(&other, RSA_PSS, "body_hash");
}

#[test]
fn parameters_are_read_strictly() {
    let raw = |input: &str| with(request(), "s", input, B26_SIGNATURE);
    let check = |input: &str, expected: &str| {
        let scheme = asking(ED25519, &json!([]));
        assert_eq!(
            code(&raw(input), &scheme, ED25519, CREATED),
            expected,
            "{input}"
        );
    };
    check(B26, "ok");
    check(&format!("{B26};alg=\"ed25519\""), "no_match");
    check(&format!("{B26};alg=\"hmac-sha256\""), "no_match");
    check(&format!("{B26};alg=\"none\""), "other_algorithm");
    check("()", "no_match");
    check("(\"date\" \"date\")", "signature_malformed");
    check("(\"date\";tr)", "signature_malformed");
    check("(\"@path\";req)", "signature_malformed");
    check("(\"Date\")", "signature_malformed");
    check("(\"x-none\")", "header_missing");
    check("(\"date\" 1)", "signature_malformed");
    check("\"date\"", "signature_malformed");
    check("(\"date\"", "signature_malformed");
    let scheme = asking(ED25519, &json!([]));
    assert_eq!(code(&raw(B26), &scheme, ED25519, CREATED + 300), "ok");
    assert_eq!(
        code(&raw(B26), &scheme, ED25519, CREATED + 301),
        "timestamp_too_old"
    );
    assert_eq!(
        code(&raw(B26), &scheme, ED25519, CREATED - 301),
        "timestamp_in_future"
    );
    let mut bare = raw(B26);
    bare.headers.retain(|(name, _)| name != "signature");
    assert_eq!(code(&bare, &scheme, ED25519, CREATED), "signature_missing");
}

/// The public key as the text of a shared secret would let everyone sign.
#[test]
fn a_public_key_is_no_shared_secret() {
    let scheme = scheme(&json!({"algorithm": "special: rfc9421", "key": "utf8"}));
    for key in [RSA_PSS, P256, ED25519] {
        let secret = Secret::new(key.as_bytes().to_vec()).unwrap();
        let refused = KeySet::prepare(&scheme, [secret]).unwrap_err();
        assert!(refused.to_string().contains("is a public key"), "{refused}");
    }
}
