//! What templates give.

use bytes::Bytes;

use proptest::prelude::*;

use super::*;
use crate::signature::scheme::{HeaderForm, SignaturePlace};

fn request() -> RawRequest {
    RawRequest {
        method: "POST".into(),
        url: Some("https://a.example/in?x=1".into()),
        path: vec![],
        query: "q=%20&d=1&d=2".into(),
        headers: vec![
            ("x-id".into(), Bytes::from_static(b"m1")),
            ("x-pairs".into(), Bytes::from_static(b"s=00, env=prod")),
        ],
        body: Bytes::from_static(br#"{"a":{"b":7}}"#),
    }
}

/// A signature in a header of pairs.
fn pairs() -> SignatureRule {
    SignatureRule {
        place: SignaturePlace::Header {
            name: HeaderName::parse("x-pairs").unwrap(),
            form: HeaderForm::KeyValueList {
                item_separator: ",".into(),
                pair_separator: "=".into(),
                key: "s".into(),
                multiple: false,
                trim: true,
            },
        },
        encoding: None,
    }
}

#[track_caller]
fn check(template: &str, expected: Result<&str, &str>) {
    let template = Template::parse(template).unwrap();
    let raw = request();
    let config = SchemeConfig::from_iter([("a".to_owned(), "c".to_owned())]);
    let signature = pairs();
    let filling = Filling {
        raw: &raw,
        signature: &signature,
        timestamp: Some("99"),
        config: &config,
    };
    let late = Late {
        url: "https://u",
        secret: b"s3",
    };
    let resolved = template.resolve(&filling).map(|pieces| {
        let bytes: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| piece.bytes(late).to_vec())
            .collect();
        String::from_utf8(bytes).unwrap()
    });
    assert_eq!(
        resolved.as_deref().map_err(Refusal::code),
        expected,
        "{template}"
    );
}

#[test]
fn variables_are_filled_in() {
    check("v0:{timestamp}:{body}", Ok(r#"v0:99:{"a":{"b":7}}"#));
    check("{method}{url}", Ok("POSThttps://u"));
    check("{header:X-Id}.{json:/a/b}.{json:/none}.", Ok("m1.7.."));
    check("{secret}{config:a}", Ok("s3c"));
    check("{header:X-Other}", Err("header_missing"));
    check("{config:b}", Err("config_missing"));
    check("{path-and-query}|{query:q}", Ok("/in?x=1| "));
    check("{query:d}", Err("part_missing"));
    check("{form:a}", Err("part_missing"));
    check("{item:env}", Ok("prod"));
    check("{item:none}", Err("signature_missing"));
}

#[test]
fn filters_change_what_a_variable_gives() {
    check("{body|crc32-decimal}", Ok("2585560631"));
    check(r"{body|json-string}", Ok(r#""{\"a\":{\"b\":7}}""#));
    check(
        "{header:x-id|sha256-hex}",
        Ok("ca0df2c95aa144c1d0ff2ff3c8f967fdc1de9ef0c4120b3726416701b519d619"),
    );
}

proptest! {
    #[test]
    fn any_text_is_a_template_or_none(text in ".{0,64}", braces in "[{}:|/a-z0-9-]{0,48}") {
        for text in [text, braces] {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(template.as_str(), text);
            }
        }
    }

    #[test]
    fn any_request_fills_a_template_or_is_refused(
        body in prop::collection::vec(any::<u8>(), 0..64),
        query in ".{0,32}",
        header in prop::collection::vec(any::<u8>(), 0..32),
    ) {
        let mut raw = request();
        raw.body = body.into();
        raw.query = query;
        raw.headers = vec![("x-pairs".into(), header.into())];
        let signature = pairs();
        let filling = Filling {
            raw: &raw, signature: &signature, timestamp: None, config: &SchemeConfig::EMPTY,
        };
        let text = "{body|json-string}{form:a}{query:q}{item:env}{json:/a}{form-sorted-concat}";
        for part in text.split_inclusive('}') {
            let template = Template::parse(part).unwrap();
            _ = template.resolve(&filling);
        }
    }
}

#[test]
fn a_json_text_may_be_signed_around_the_body() {
    check(
        r#"{"Body":{body|json-string},"Env":{item:env|json-string},"T":{timestamp}}"#,
        Ok(r#"{"Body":"{\"a\":{\"b\":7}}","Env":"prod","T":99}"#),
    );
    check("{}{method}", Ok("{}POST"));
}

#[track_caller]
fn check_invalid(template: &str, expected: InvalidTemplate) {
    assert_eq!(Template::parse(template), Err(expected), "{template}");
}

#[test]
fn what_is_no_template_is_refused() {
    check_invalid("{body", InvalidTemplate::Unpaired);
    check_invalid("body}", InvalidTemplate::Unpaired);
    check_invalid("{\"a\":{body}", InvalidTemplate::Unpaired);
    check_invalid("{Body}", InvalidTemplate::Variable("Body".into()));
    check_invalid("{config:}", InvalidTemplate::Variable("config:".into()));
    check_invalid("{json:a}", InvalidTemplate::Variable("json:a".into()));
    check_invalid("{header:}", InvalidTemplate::Variable("header:".into()));
    check_invalid("{body|rot13}", InvalidTemplate::Filter("rot13".into()));
    check_invalid(
        "{secret|sha256-hex}",
        InvalidTemplate::Filter("sha256-hex".into()),
    );
    check_invalid(&"{body}".repeat(65), InvalidTemplate::TooLong);
}

#[test]
fn a_body_alone_is_not_copied() {
    let raw = request();
    let template = Template::parse("{body}").unwrap();
    let signature = pairs();
    let filling = Filling {
        raw: &raw,
        signature: &signature,
        timestamp: None,
        config: &SchemeConfig::EMPTY,
    };
    let pieces = template.resolve(&filling).unwrap();
    assert!(
        matches!(pieces.as_slice(), [Piece::Bytes(Cow::Borrowed(b))] if b.as_ptr() == raw.body.as_ptr())
    );
}
