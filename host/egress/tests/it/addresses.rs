//! Where requests may go.

use std::io;
use std::net::IpAddr;
use std::sync::Mutex;

use tidegate_core::errors::chain;
use tidegate_egress::{Egress, EgressError, EgressPolicy, Resolution, Resolver, Url};

use crate::server::{Server, answer, post};

/// Answers each look-up with the next of its answers.
struct Told(Mutex<Vec<Vec<IpAddr>>>);

impl Resolver for Told {
    fn resolve<'a>(&'a self, _host: &'a str) -> Resolution<'a> {
        let next = self.0.lock().unwrap().pop();
        Box::pin(async move { next.ok_or_else(|| io::Error::other("no such name")) })
    }
}

fn egress(allow: &[&str], answers: &[&[&str]]) -> Egress {
    let answers = answers.iter().rev().map(|addresses| {
        let parsed = addresses.iter().map(|address| address.parse().unwrap());
        parsed.collect()
    });
    let policy = EgressPolicy {
        allow: allow.iter().map(|entry| entry.parse().unwrap()).collect(),
        roots: None,
    };
    Egress::with_resolver(policy, Box::new(Told(Mutex::new(answers.collect())))).unwrap()
}

async fn check(allow: &[&str], url: &str, answers: &[&str], expect: &str) {
    let url: Url = url.parse().unwrap();
    let mut request = post(&url);
    request.timeout = std::time::Duration::from_millis(200);
    let error = egress(allow, &[answers])
        .request(request)
        .await
        .unwrap_err();
    let text = chain(&error);
    assert!(
        text.contains(expect),
        "{url:?} {answers:?}: {text:?} does not say {expect:?}"
    );
    let refused = matches!(
        error,
        EgressError::Address { .. } | EgressError::Plain { .. }
    );
    assert_eq!(refused, error.class().code() == "refused");
}

#[tokio::test]
async fn addresses_inside_are_refused_in_every_spelling() {
    check(&[], "https://127.0.0.1/", &[], "loopback").await;
    check(&[], "https://[::1]/", &[], "loopback").await;
    check(&[], "https://[::ffff:127.0.0.1]/", &[], "loopback").await;
    check(&[], "https://169.254.169.254/latest", &[], "metadata").await;
    check(&[], "https://a.example/", &["10.0.0.1"], "private").await;
    check(&[], "https://a.example/", &["fd00::1"], "private").await;
    // One of many is enough: whoever answers chooses which is used.
    check(
        &[],
        "https://a.example/",
        &["1.1.1.1", "127.0.0.1"],
        "loopback",
    )
    .await;
    check(
        &["10.0.0.0/8"],
        "https://a.example/",
        &["127.0.0.1"],
        "loopback",
    )
    .await;
}

#[tokio::test]
async fn without_tls_only_where_it_is_allowed() {
    check(&[], "http://a.example/", &["1.1.1.1"], "not https").await;
    check(
        &["b.example"],
        "http://a.example/",
        &["1.1.1.1"],
        "not https",
    )
    .await;
}

#[tokio::test]
async fn names_that_nobody_knows() {
    check(&[], "https://a.example/", &[], "no address").await;
    let url: Url = "https://a.example/".parse().unwrap();
    let error = egress(&[], &[]).request(post(&url)).await.unwrap_err();
    assert!(chain(&error).ends_with("no such name"), "{error:?}");
}

#[tokio::test]
async fn what_was_checked_is_what_is_connected_to() {
    // The first look-up says the allowed address; were there a second, it would say an
    // address at which nobody listens.
    let server = Server::start(vec![answer("200 OK", "")]).await;
    let port = server.address.port();
    let egress = egress(&["127.0.0.1"], &[&["127.0.0.1"], &["127.0.0.2"]]);
    let url: Url = format!("http://rebind.example:{port}/").parse().unwrap();
    egress.request(post(&url)).await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_allowed_name_may_point_inside() {
    let server = Server::start(vec![answer("204 No Content", "")]).await;
    let port = server.address.port();
    let egress = egress(&["inside.example"], &[&["127.0.0.1"]]);
    let url: Url = format!("http://Inside.Example.:{port}/").parse().unwrap();
    assert_eq!(
        egress.request(post(&url)).await.unwrap().status.as_u16(),
        204
    );
}
