//! What ingress fetches while a request waits: keys that partners publish, and the URLs by which
//! a subscription is confirmed.
//!
//! Everything goes through the one egress, to URLs that the signature rules have allowed, and
//! is bounded in time and size. Nothing is retried here: the partner sends its request again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_core::errors::chain;
use tidegate_core::ports::Clock as _;
use tidegate_core::signature::{FETCHED_KEY_BYTES_MAX, FetchedKey, KeySource, SchemeConfig};
use tidegate_egress::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use tidegate_egress::{Egress, HeaderMap, Method, Request, StatusCode, Url};

use crate::key_cache::{KeyCache, NoKey};
use crate::system::SystemClock;

/// Longest that one fetch takes: a request waits for it.
const FETCH_WITHIN: Duration = Duration::from_millis(2_400);

/// How long a key without an end of its own is valid, as far as it says.
const ENDLESS: Duration = Duration::MAX;

/// Largest answer to a confirmation.
const CONFIRMATION_BYTES_MAX: usize = 64 * 1024;

/// Fetches.
#[derive(Debug)]
pub(crate) struct Fetcher {
    egress: Arc<Egress>,
    keys: KeyCache<KeySource, FetchedKey>,
}

impl Fetcher {
    pub(crate) fn new(egress: Arc<Egress>) -> Self {
        Self {
            egress,
            keys: KeyCache::default(),
        }
    }

    /// The key of that source, for a connection with those values.
    pub(crate) async fn key(
        &self,
        source: &KeySource,
        config: &SchemeConfig,
    ) -> Result<Arc<FetchedKey>, NoKey> {
        let Ok(url) = source.url.parse::<Url>() else {
            return Err(NoKey::NotFetched);
        };
        let origin = url.origin().to_string();
        let fetch = || self.fetch(source, &url, config);
        self.keys.get(source, &origin, fetch).await
    }

    async fn fetch(
        &self,
        source: &KeySource,
        url: &Url,
        config: &SchemeConfig,
    ) -> Option<(FetchedKey, Duration)> {
        let posted = source.body(config);
        let bytes = self.send(url, posted, FETCHED_KEY_BYTES_MAX).await?;
        let now = SystemClock.now();
        match FetchedKey::read(source, &bytes, now) {
            Ok(key) => {
                let valid_for = key.not_after().map_or(ENDLESS, |until| until.since(now));
                tracing::info!(origin = %url.origin(), kid = source.kid.as_deref(), "a partner's key was fetched");
                Some((key, valid_for))
            }
            Err(error) => {
                tracing::warn!(origin = %url.origin(), %error, "what was fetched is no key of that request");
                None
            }
        }
    }

    /// Fetches a URL by which a partner confirms a subscription. Whether it was taken.
    pub(crate) async fn confirm(&self, url: &str) -> bool {
        let Ok(url) = url.parse::<Url>() else {
            return false;
        };
        self.send(&url, None, CONFIRMATION_BYTES_MAX)
            .await
            .is_some()
    }

    /// The body of a success; none otherwise.
    async fn send(&self, url: &Url, posted: Option<String>, bytes_max: usize) -> Option<Bytes> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if posted.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let request = Request {
            method: if posted.is_some() {
                Method::POST
            } else {
                Method::GET
            },
            url,
            headers,
            body: posted.map(Bytes::from).unwrap_or_default(),
            timeout: FETCH_WITHIN,
            response_bytes_max: bytes_max,
            repeatable: true,
        };
        match self.egress.request(request).await {
            Ok(answer) if answer.status == StatusCode::OK => Some(answer.body),
            Ok(answer) => {
                tracing::warn!(origin = %url.origin(), status = %answer.status, "a partner did not answer what ingress fetches");
                None
            }
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "what ingress fetches could not be had"
                );
                None
            }
        }
    }
}
