//! The running host, as the commands see it: its operator API over HTTP.
//!
//! One request at a time, each with a bound on time and size. Nothing is retried here:
//! a command that fails says so, and only following a stream connects again.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::error::CliError;
use super::problem::Problem;
use super::query::Query;
use crate::config::{ConfigSource, Whereabouts, read_bounded};

/// Longest wait for an answer, beyond what a request itself asks the host to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer: an event of the largest body, escaped.
const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Largest file with a token.
const TOKEN_FILE_BYTES_MAX: u64 = 4_096;

/// A way to a host's operator API.
#[derive(Debug)]
pub(super) struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    runtime: tokio::runtime::Runtime,
    base: String,
    token: Option<HeaderValue>,
    whereabouts: Whereabouts,
}

/// An answer as it came, and as what it means.
#[derive(Debug)]
pub(super) struct Answer {
    /// The document's text.
    pub(super) text: String,
    /// The document.
    pub(super) value: Value,
}

impl Api {
    /// Finds the host: what the command line says, then what the configuration says. The
    /// token is looked for in that order too, and last in the store's folder.
    pub(super) fn find(
        operator: Option<&str>,
        token: Option<String>,
        config: &ConfigSource,
    ) -> Result<Self, CliError> {
        let whereabouts = config.whereabouts()?;
        let base = match operator {
            Some(url) => base_url(url)?,
            None => format!("http://{}", whereabouts.operator),
        };
        // A token in a store's folder is for the host of that store, on this machine.
        let local = operator.is_none() || is_loopback(&base);
        let found = token.or_else(|| {
            let file = whereabouts.token_file.as_deref().filter(|_| local)?;
            let bytes = read_bounded(file, TOKEN_FILE_BYTES_MAX).ok()?;
            String::from_utf8(bytes).ok()
        });
        let token = found.map(|token| bearer(token.trim())).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(CliError::Runtime)?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(10)));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self {
            client,
            runtime,
            base,
            token,
            whereabouts,
        })
    }

    /// Asks for a resource.
    pub(super) fn get(&self, query: &Query) -> Result<Answer, CliError> {
        self.runtime.block_on(self.call(Method::GET, query, None))
    }

    /// Has something done.
    pub(super) fn post(&self, query: &Query) -> Result<Answer, CliError> {
        self.runtime.block_on(self.call(Method::POST, query, None))
    }

    /// Has something done that is said in a document.
    pub(super) fn send(&self, query: &Query, document: &Value) -> Result<Answer, CliError> {
        let call = self.call(Method::POST, query, Some(document));
        self.runtime.block_on(call)
    }

    /// Runs a future that uses [`Self::call`] and [`Self::open`].
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Sends a request and reads its whole answer.
    pub(super) async fn call(
        &self,
        method: Method,
        query: &Query,
        document: Option<&Value>,
    ) -> Result<Answer, CliError> {
        let mut request = self.request(method, query, &[(ACCEPT, "application/json")])?;
        if let Some(document) = document {
            *request.body_mut() = document.to_string().into();
            let kind = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, kind);
        }
        let response = self.exchange(query, request).await?;
        let url = self.url(query);
        let read = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        let body = tokio::time::timeout(ANSWER_TIMEOUT, read)
            .await
            .map_err(|_| self.slow(query))?
            .map_err(|source| CliError::BrokenOff {
                url: url.clone(),
                source,
            })?
            .to_bytes();
        let answer = String::from_utf8(body.into())
            .map_err(|error| error.to_string())
            .and_then(|text| {
                let value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                Ok(Answer { text, value })
            });
        answer.map_err(|what| CliError::Foreign { url, what })
    }

    /// Sends a request and gives its answer while the body still comes; a refusal is an
    /// error.
    pub(super) async fn open(
        &self,
        method: Method,
        query: &Query,
        headers: &[(HeaderName, &str)],
    ) -> Result<Response<Incoming>, CliError> {
        let request = self.request(method, query, headers)?;
        self.exchange(query, request).await
    }

    fn request(
        &self,
        method: Method,
        query: &Query,
        headers: &[(HeaderName, &str)],
    ) -> Result<Request<Full<Bytes>>, CliError> {
        let url = self.url(query);
        let uri: Uri = url.parse().map_err(|_| CliError::OperatorUrl {
            url: self.base.clone(),
        })?;
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let agent = HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, agent);
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                request.headers_mut().insert(name, value);
            }
        }
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        Ok(request)
    }

    async fn exchange(
        &self,
        query: &Query,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, CliError> {
        let response = tokio::time::timeout(ANSWER_TIMEOUT, self.client.request(request))
            .await
            .map_err(|_| self.slow(query))?
            .map_err(|error| CliError::Unreachable {
                url: self.base.clone(),
                source: error.into(),
            })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), 64 * 1024).collect();
        let body = tokio::time::timeout(ANSWER_TIMEOUT, body)
            .await
            .ok()
            .and_then(Result::ok);
        let body = body
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        Err(CliError::Refused {
            problem: Problem::read(status, &body),
            with_token: self.token.is_some(),
            token_file: self.whereabouts.token_file.clone(),
        })
    }

    fn url(&self, query: &Query) -> String {
        format!("{}{}", self.base, query.as_str())
    }

    fn slow(&self, query: &Query) -> CliError {
        CliError::Slow {
            url: self.url(query),
            seconds: ANSWER_TIMEOUT.as_secs(),
        }
    }
}

/// The URL without a slash at its end; http alone, since the listener speaks nothing else.
fn base_url(url: &str) -> Result<String, CliError> {
    let bad = || CliError::OperatorUrl {
        url: url.to_owned(),
    };
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let plain = uri.scheme_str() == Some("http") && uri.host().is_some() && uri.query().is_none();
    if plain {
        Ok(url.trim_end_matches('/').to_owned())
    } else {
        Err(bad())
    }
}

fn is_loopback(base: &str) -> bool {
    let uri: Option<Uri> = base.parse().ok();
    uri.as_ref().and_then(Uri::host).is_some_and(|host| {
        let address = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

fn bearer(token: &str) -> Result<HeaderValue, CliError> {
    let mut value =
        HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| CliError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Option<&str>) {
        assert_eq!(base_url(url).ok().as_deref(), expected, "{url:?}");
    }

    #[test]
    fn operator_urls() {
        check("http://127.0.0.1:8081", Some("http://127.0.0.1:8081"));
        check("http://127.0.0.1:8081/", Some("http://127.0.0.1:8081"));
        check(
            "http://[::1]:8081/tidegate/",
            Some("http://[::1]:8081/tidegate"),
        );
        check("https://127.0.0.1:8081", None);
        check("127.0.0.1:8081", None);
        check("http://host/?x", None);
        check("", None);
    }

    #[test]
    fn a_token_that_was_found_stays_on_this_machine() {
        for (base, local) in [
            ("http://127.0.0.1:8081", true),
            ("http://localhost:1", true),
            ("http://[::1]:1", true),
            ("http://127.0.0.1.example:1", false),
            ("http://10.0.0.1:8081", false),
        ] {
            assert_eq!(is_loopback(base), local, "{base}");
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let value = bearer("hunter2").unwrap();
        assert!(!format!("{value:?}").contains("hunter2"));
        assert!(bearer("a\nb").is_err());
    }
}
