//! A scheme with what it is asked with, for tables of requests and verdicts.

use bytes::Bytes;
use serde_json::Value;
use tidegate_core::signature::{
    FetchedKey, KeySet, RawRequest, Scheme, SchemeConfig, Secret, verify,
};
use tidegate_core::time::Timestamp;

use crate::signing::scheme;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_536_000);

/// Within the validity of the certificate.
pub(crate) const LATER: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(crate) fn config(values: &[(&str, &str)]) -> SchemeConfig {
    values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// A scheme with what it is asked with.
pub(crate) struct Bench {
    pub(crate) scheme: Scheme,
    pub(crate) secrets: Vec<String>,
    pub(crate) config: SchemeConfig,
    pub(crate) fetched: Option<FetchedKey>,
    pub(crate) now: Timestamp,
}

impl Bench {
    pub(crate) fn new(document: &Value, secret: &str) -> Self {
        Self {
            scheme: scheme(document),
            secrets: vec![secret.to_owned()],
            config: SchemeConfig::EMPTY,
            fetched: None,
            now: NOW,
        }
    }

    pub(crate) fn code(&self, raw: &RawRequest) -> &'static str {
        let secrets = self.secrets.iter().map(|text| {
            let text = text.as_bytes().to_vec();
            Secret::new(text).unwrap()
        });
        let keys = KeySet::prepare_with(&self.scheme, secrets, &self.config).unwrap();
        verify(
            raw.clone(),
            &self.scheme,
            &keys,
            self.fetched.as_ref(),
            self.now,
        )
        .err()
        .map_or("ok", |refusal| refusal.code())
    }

    #[track_caller]
    pub(crate) fn check(
        &self,
        raw: &RawRequest,
        change: impl FnOnce(&mut RawRequest),
        expected: &str,
    ) {
        let mut raw = raw.clone();
        change(&mut raw);
        assert_eq!(self.code(&raw), expected);
    }
}

pub(crate) fn set(raw: &mut RawRequest, name: &str, value: &str) {
    raw.headers.retain(|(found, _)| found != name);
    raw.headers
        .push((name.to_owned(), Bytes::from(value.to_owned())));
}
