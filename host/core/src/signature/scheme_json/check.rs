//! Whether the parts of a scheme fit together.

use super::body_word;
use crate::document::{Object, Problems, Report};
use crate::event::BodyAuthenticated;
use crate::signature::algorithm::Algorithm;
use crate::signature::builtin::Builtin;
use crate::signature::event_id::EventIdRule;
use crate::signature::key_form::KeyForm;
use crate::signature::request::HeaderName;
use crate::signature::scheme::{BodyHashPlace, HeaderForm, JwtRule, Scheme, SignaturePlace};
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
            Some(_) if !self.algorithm.signs_content() && !self.algorithm.is_special() => {
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
            Some(_) if !self.algorithm.signs_content() && !self.algorithm.is_special() => {
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
        self.check_claims(object, report);
        if !self.url_variants.is_empty() && !self.needs_url() {
            report.problem(
                object.at("url_variants"),
                "has no meaning where the content has no {url}",
            );
        }
    }

    fn check_claims(&self, object: &Object<'_>, report: &mut Report) {
        let has_token = matches!(
            self.algorithm,
            Algorithm::Jwt(_) | Algorithm::Builtin(Builtin::AtlassianQsh)
        );
        if !has_token && self.jwt != JwtRule::default() {
            let message = "keys \"issuer\", \"max_age_s\", \"leeway_s\" and \"url_hash\" belong \
                           to jwt algorithms";
            report.problem(object.place(), message);
        }
        let covered = match self.body_hash.as_ref().map(|rule| &rule.place) {
            None => true,
            Some(BodyHashPlace::Claim(_)) => has_token,
            Some(BodyHashPlace::Query(_)) => {
                self.content.as_ref().is_some_and(Template::needs_url)
                    || self.jwt.url_hash.is_some()
            }
            Some(BodyHashPlace::Header(name)) => {
                let part = Part::Header(name.clone());
                self.content.as_ref().is_some_and(|c| c.has(&part))
            }
        };
        if !covered {
            let message = "has to be signed: in a claim of a token, in the query of a signed \
                           {url}, or in a signed header";
            report.problem(object.at("body_hash"), message);
        }
        if self.key_url.is_some() && self.key != KeyForm::Jwk {
            report.problem(object.at("key_url"), "belongs to key \"JWK by kid\"");
        }
        let hashes = |content: &Template| content.has(&Part::Secret);
        let has_secret = self.content.as_ref().is_some_and(hashes);
        if has_secret != (self.algorithm == Algorithm::Sha256WithSecret)
            && self.algorithm.signs_content()
        {
            let message = "has {secret} for sha256-with-secret, and for nothing else";
            report.problem(object.at("content"), message);
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
        let in_token = matches!(rule.place, TimestampPlace::Claim(_));
        let in_parameter = matches!(rule.place, TimestampPlace::Parameter(_));
        let has_token = matches!(self.algorithm, Algorithm::Jwt(_));
        let has_parameters = self.algorithm == Algorithm::Builtin(Builtin::Rfc9421);
        if in_token != has_token || in_parameter && !has_parameters {
            let message = "is in no place where the algorithm has a timestamp";
            report.problem(at.as_str(), message);
        }
        let covered = in_token
            || content.is_some_and(|content| {
                content.has(&Part::Timestamp)
                    || match &rule.place {
                        TimestampPlace::Header(name) => content.has(&Part::Header(name.clone())),
                        TimestampPlace::Json(pointer) => {
                            content.has(&Part::Body) || content.has(&Part::Json(pointer.clone()))
                        }
                        TimestampPlace::Form(name) => {
                            content.has(&Part::Body) || content.has(&Part::Form(name.clone()))
                        }
                        TimestampPlace::SignatureItem(key) => content.has(&Part::Item(key.clone())),
                        TimestampPlace::Claim(_) | TimestampPlace::Parameter(_) => false,
                    }
            });
        if rule.signed && !covered && !self.algorithm.is_special() {
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
        let proof = self.credential_headers();
        let is_credential = |name: &&HeaderName| name.is_credential() || proof.contains(name);
        if let Some(name) = self.event_id.headers().into_iter().find(is_credential) {
            report.problem(
                at,
                format!("header {name} carries a credential and is no event id"),
            );
        }
        if self.split().is_some() && !self.event_id.reads_part() {
            let message = "would be the same for every event of one body; read it from JSON";
            report.problem(at, message);
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
            Algorithm::Jwt(_) if self.body_hash.is_some() => BodyAuthenticated::Full,
            Algorithm::Builtin(builtin) => builtin.body_authenticated(&self.components),
            Algorithm::Jwt(_) | Algorithm::SharedToken | Algorithm::HttpBasic => {
                BodyAuthenticated::None
            }
            // Only its own code will know.
            Algorithm::Unknown(_) => return declared.unwrap_or(BodyAuthenticated::None),
            // Of a form the fields are signed, and of everything else the hash.
            _ if self.body_hash.as_ref().is_some_and(|rule| rule.unless_form) => {
                BodyAuthenticated::Fields
            }
            _ if self.body_hash.is_some() => BodyAuthenticated::Full,
            _ => self
                .content
                .as_ref()
                .map_or(BodyAuthenticated::None, Template::body_authenticated),
        };
        let declared = declared.unwrap_or(given);
        // Documents with the old name know three schemes that have no word for less.
        if self.algorithm.is_special() && object.get("body_bound").is_some() {
            return if strength(declared) > strength(given) {
                given
            } else {
                declared
            };
        }
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
}

const fn strength(body: BodyAuthenticated) -> u8 {
    match body {
        BodyAuthenticated::Full => 2,
        BodyAuthenticated::Fields => 1,
        BodyAuthenticated::None => 0,
    }
}
