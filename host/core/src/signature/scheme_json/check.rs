//! Whether the parts of a scheme fit together.

use super::body_word;
use crate::document::{Object, Problems, Report};
use crate::event::BodyAuthenticated;
use crate::signature::event_id::EventIdRule;
use crate::signature::scheme::{Algorithm, HeaderForm, JwtRule, Scheme, SignaturePlace};
use crate::signature::template::{Part, Template};
use crate::signature::timestamp::TimestampPlace;

impl Scheme {
    pub(super) fn check_algorithm_parts(&self, object: &Object<'_>, report: &mut Report) {
        let algorithm = self.algorithm.text();
        match &self.content {
            None if self.algorithm.signs_content() && object.get("content").is_none() => {
                report.problem(
                    object.place(),
                    format!("{algorithm} signs a content: key \"content\" is missing"),
                );
            }
            Some(content) if self.algorithm.signs_content() && !content.depends_on_request() => {
                report.problem(
                    object.at("content"),
                    "has nothing of the request in it, like {body}",
                );
            }
            Some(_) if !self.algorithm.signs_content() && !self.is_special() => {
                report.problem(
                    object.at("content"),
                    format!("has no meaning for {algorithm}"),
                );
            }
            _ => {}
        }
        let at = object.at("signature");
        match self.signature.encoding {
            None if self.algorithm.signs_content() => {
                report.problem(at, "key \"encoding\" is missing: hex, base64 or base64url");
            }
            Some(_) if !self.algorithm.signs_content() && !self.is_special() => {
                report.problem(
                    at,
                    format!("key \"encoding\" has no meaning for {algorithm}"),
                );
            }
            _ => {}
        }
        let plain_header = matches!(
            &self.signature.place,
            SignaturePlace::Header {
                form: HeaderForm::Single { prefix: None },
                ..
            }
        );
        if self.algorithm == Algorithm::HttpBasic && !plain_header {
            report.problem(
                object.at("signature"),
                "http-basic is read from a header without prefix",
            );
        }
        if !matches!(self.algorithm, Algorithm::Jwt(_)) && self.jwt != JwtRule::default() {
            let message =
                "keys \"issuer\", \"max_age_s\" and \"body_hash\" belong to jwt algorithms";
            report.problem(object.place(), message);
        }
        if !self.url_variants.is_empty() && !self.needs_url() {
            report.problem(
                object.at("url_variants"),
                "has no meaning where the content has no {url}",
            );
        }
    }

    pub(super) fn check_timestamp(&self, object: &Object<'_>, report: &mut Report) {
        let content = self.content.as_ref();
        let Some(rule) = &self.timestamp else {
            if content.is_some_and(|content| content.has(&Part::Timestamp)) {
                report.problem(
                    object.at("content"),
                    "has {timestamp}, and key \"timestamp\" is missing",
                );
            }
            return;
        };
        let at = object.at("timestamp");
        let in_items = matches!(
            &self.signature.place,
            SignaturePlace::Header {
                form: HeaderForm::KeyValueList { .. },
                ..
            }
        );
        if matches!(rule.place, TimestampPlace::SignatureItem(_)) && !in_items {
            report.problem(
                at.as_str(),
                "is in a signature item, and the signature is no key-value-list",
            );
        }
        let covered = content.is_some_and(|content| {
            content.has(&Part::Timestamp)
                || match &rule.place {
                    TimestampPlace::Header(name) => content.has(&Part::Header(name.clone())),
                    TimestampPlace::Json(pointer) => {
                        content.has(&Part::Body) || content.has(&Part::Json(pointer.clone()))
                    }
                    TimestampPlace::SignatureItem(_) => false,
                }
        });
        if rule.signed && !covered && !self.is_special() {
            let message = "is not part of the signed content; if the partner does it so, say \"signed\": false";
            report.problem(at, message);
        }
    }

    /// The same scheme with another event-id rule, like one in the configuration; an id
    /// that is a credential is refused.
    pub fn replace_event_id(self, event_id: EventIdRule) -> Result<Self, Problems> {
        let scheme = self.with_event_id(event_id);
        let mut report = Report::default();
        scheme.check_event_id("", &mut report);
        report.finish(Some(scheme))
    }

    /// Reports an event id that is a credential: it would be the same for every event.
    pub(crate) fn check_event_id(&self, at: &str, report: &mut Report) {
        if let Some(name) = self.event_id.header()
            && (name.is_credential() || self.credential_header() == Some(name))
        {
            report.problem(
                at,
                format!("header {name} carries a credential and is no event id"),
            );
        }
    }

    /// The body's standing: what was declared, if the content gives that much.
    pub(super) fn judge_body(
        &self,
        declared: Option<BodyAuthenticated>,
        object: &Object<'_>,
        report: &mut Report,
    ) -> BodyAuthenticated {
        let given = match &self.algorithm {
            Algorithm::Jwt(_) if self.jwt.body_hash.is_some() => BodyAuthenticated::Full,
            Algorithm::Jwt(_) | Algorithm::SharedToken | Algorithm::HttpBasic => {
                BodyAuthenticated::None
            }
            // Only its own code will know.
            Algorithm::Special(_) => return declared.unwrap_or(BodyAuthenticated::None),
            _ => self
                .content
                .as_ref()
                .map_or(BodyAuthenticated::None, Template::body_authenticated),
        };
        let declared = declared.unwrap_or(given);
        if strength(declared) > strength(given) {
            let message = format!(
                "promises that the proof covers {:?} of the body, and the content covers {:?}",
                body_word(declared),
                body_word(given)
            );
            report.problem(object.place(), message);
        }
        declared
    }

    const fn is_special(&self) -> bool {
        matches!(self.algorithm, Algorithm::Special(_))
    }
}

const fn strength(body: BodyAuthenticated) -> u8 {
    match body {
        BodyAuthenticated::Full => 2,
        BodyAuthenticated::Fields => 1,
        BodyAuthenticated::None => 0,
    }
}
