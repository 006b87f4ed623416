//! X.509 certificates: the key of one, and whether a chain is to be trusted.
//!
//! A certificate that an operator configured, or that was fetched over https from the one
//! host that a partner's rules allow, is believed for its key while it is valid. Where a
//! partner's rules ask for more (`PayPal`), the chain is checked against the roots of the
//! web by the `webpki` crate, and the name against the partner's domain.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::der::Der;
use super::pem;
use super::public_key::{InvalidKey, PublicKey};
use crate::time::Timestamp;

const FORM: InvalidKey = InvalidKey::Form {
    expected: "a certificate in PEM",
};

/// Tags of the two ways in which a certificate writes an instant.
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The key of a certificate, bounded by the certificate's validity.
pub(super) fn key_of(der: &[u8]) -> Result<PublicKey, InvalidKey> {
    let der = CertificateDer::from(der);
    let certificate = EndEntityCert::try_from(&der).map_err(|_| FORM)?;
    let mut key = PublicKey::from_spki(certificate.subject_public_key_info().as_ref())?;
    let (not_before, not_after) = validity(&der).ok_or(FORM)?;
    key.not_before = Some(not_before);
    key.not_after = Some(not_after);
    Ok(key)
}

/// The key of the first certificate of a PEM text, once the chain to a root of the web
/// holds and the certificate is for a host at or below `domain`.
pub(super) fn trusted_key_of(
    pem: &str,
    domain: &'static str,
    now: Timestamp,
) -> Result<PublicKey, InvalidKey> {
    let chain = chain(pem)?;
    let (leaf, intermediates) = chain.split_first().ok_or(FORM)?;
    let certificate = EndEntityCert::try_from(leaf).map_err(|_| FORM)?;
    let secs = u64::try_from(now.as_secs()).map_err(|_| InvalidKey::NotNow)?;
    certificate
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            webpki_roots::TLS_SERVER_ROOTS,
            intermediates,
            UnixTime::since_unix_epoch(Duration::from_secs(secs)),
            KeyUsage::server_auth(),
            None,
            None,
        )
        .map_err(|why| InvalidKey::Untrusted {
            why: why.to_string(),
        })?;
    let named = certificate
        .valid_dns_names()
        .any(|name| is_at_or_below(name, domain));
    if !named {
        return Err(InvalidKey::Name { domain });
    }
    key_of(leaf)
}

/// Whether a host is a domain, or has it as its end after a dot.
pub(super) fn is_at_or_below(host: &str, domain: &str) -> bool {
    host == domain
        || host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn chain(text: &str) -> Result<Vec<CertificateDer<'static>>, InvalidKey> {
    let blocks = pem::blocks(text).ok_or(FORM)?;
    blocks
        .into_iter()
        .map(|block| match block.label.as_str() {
            "CERTIFICATE" => Ok(CertificateDer::from(block.bytes)),
            _ => Err(FORM),
        })
        .collect()
}

/// From when to when a certificate is valid.
fn validity(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let mut signed = Der::new(certificate).sequence()?.sequence()?;
    // Version, serial number, signature algorithm and issuer stand before it; version has
    // a tag of its own.
    for _ in 0..4 {
        signed.next()?;
    }
    let mut validity = signed.sequence()?;
    Some((instant(validity.next()?)?, instant(validity.next()?)?))
}

/// Reads `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn instant((tag, text): (u8, &[u8])) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            // RFC 5280: 50 and above are of the last century.
            let century = if year < "50" { "20" } else { "19" };
            (format!("{century}{year}"), rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.to_owned(), rest)
        }
        _ => return None,
    };
    if rest.len() != 10 || !rest.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| rest.get(at..at + 2);
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read() {
        let read = |tag, text: &str| instant((tag, text.as_bytes())).map(|at| at.to_string());
        let expected = |text: &str| Some(text.to_owned());
        assert_eq!(
            read(UTC_TIME, "261124063445Z"),
            expected("2026-11-24T06:34:45Z")
        );
        assert_eq!(
            read(UTC_TIME, "500101000000Z"),
            expected("1950-01-01T00:00:00Z")
        );
        assert_eq!(
            read(GENERALIZED_TIME, "20501124063445Z"),
            expected("2050-11-24T06:34:45Z")
        );
        for bad in [
            "",
            "261124063445",
            "2611240634455Z",
            "26112406344éZ",
            "261324063445Z",
        ] {
            assert_eq!(read(UTC_TIME, bad), None, "{bad}");
        }
    }

    #[test]
    fn hosts_are_compared_by_whole_labels() {
        for (host, expected) in [
            ("paypal.com", true),
            ("api.paypal.com", true),
            ("notpaypal.com", false),
            (".paypal.com", false),
            ("paypal.com.evil.example", false),
        ] {
            assert_eq!(is_at_or_below(host, "paypal.com"), expected, "{host}");
        }
    }
}
