//! URLs to send to. Parsed once; what is shown of one is its origin alone.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::Scheme;

use crate::allow::name;

/// Longest URL.
const URL_BYTES_MAX: usize = 8 * 1024;

/// A URL of `http` or `https`. Neither `Debug` nor an error shows its path or query,
/// which may be all that keeps others from sending to it.
#[derive(Clone)]
pub struct Url {
    origin: Origin,
    target: Uri,
    host: HeaderValue,
}

/// Where a URL points: all of it that may be shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    https: bool,
    host: Arc<str>,
    port: u16,
}

/// A text that is no such URL. Does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Not in the form of one.
    #[error("it is not a URL with a scheme and a host")]
    Form,
    /// Another scheme.
    #[error("its scheme is neither https nor http")]
    Scheme,
    /// Credentials before the host; they would end up in places where URLs are shown.
    #[error("it has a user name or password in it")]
    UserInfo,
    /// Too long.
    #[error("it has more than {URL_BYTES_MAX} bytes")]
    TooLong,
}

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if text.len() > URL_BYTES_MAX {
            return Err(InvalidUrl::TooLong);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidUrl::Form)?;
        let parts = uri.into_parts();
        let authority = parts.authority.ok_or(InvalidUrl::Form)?;
        let https = match parts.scheme.as_ref().map(Scheme::as_str) {
            Some("https") => true,
            Some("http") => false,
            Some(_) => return Err(InvalidUrl::Scheme),
            None => return Err(InvalidUrl::Form),
        };
        if authority.as_str().contains('@') {
            return Err(InvalidUrl::UserInfo);
        }
        let host = name(authority.host().trim_matches(['[', ']']));
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // A colon with nothing behind it that is a port.
            None if authority.as_str().len() > authority.host().len() => {
                return Err(InvalidUrl::Form);
            }
            None if https => 443,
            None => 80,
        };
        if host.is_empty() || port == 0 {
            return Err(InvalidUrl::Form);
        }
        let origin = Origin {
            https,
            host: host.into(),
            port,
        };
        let host = HeaderValue::from_str(&origin.authority()).map_err(|_| InvalidUrl::Form)?;
        let target = parts.path_and_query.map_or_else(Uri::default, Uri::from);
        Ok(Self {
            origin,
            target,
            host,
        })
    }
}

impl Url {
    /// Where it points.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What the request line says.
    pub(crate) const fn target(&self) -> &Uri {
        &self.target
    }

    /// What the `Host` field says.
    pub(crate) const fn host_field(&self) -> &HeaderValue {
        &self.host
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/…", self.origin)
    }
}

impl Origin {
    /// A host and port that are not spoken to by HTTP: TLS or not is up to the caller.
    pub fn of_host(host: &str, port: u16) -> Self {
        Self {
            https: false,
            host: name(host.trim_matches(['[', ']'])).into(),
            port,
        }
    }

    /// Whether it is spoken to over TLS.
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// The host, in small letters; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The host as an address, where it is one.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    fn authority(&self) -> String {
        let (open, close) = if self.host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        let host = &self.host;
        let usual = if self.https { 443 } else { 80 };
        if self.port == usual {
            format!("{open}{host}{close}")
        } else {
            format!("{open}{host}{close}:{}", self.port)
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Result<&str, InvalidUrl>) {
        let url = text.parse::<Url>();
        assert_eq!(
            url.map(|url| format!("{} {}", url.origin(), url.target())),
            expect.map(str::to_owned),
            "{text}"
        );
    }

    #[test]
    fn urls_and_what_is_none() {
        check("https://a.example", Ok("https://a.example /"));
        check(
            "https://A.example.:443/x?y=1#z",
            Ok("https://a.example /x?y=1"),
        );
        check("http://a.example:81?q", Ok("http://a.example:81 /?q"));
        check("https://[::1]:8443/x", Ok("https://[::1]:8443 /x"));
        check("HTTPS://a.example/", Ok("https://a.example /"));
        check("https://user@a.example/", Err(InvalidUrl::UserInfo));
        check("https://user:pass@a.example/", Err(InvalidUrl::UserInfo));
        check("ftp://a.example/", Err(InvalidUrl::Scheme));
        check("file:///etc/passwd", Err(InvalidUrl::Form));
        check("/path", Err(InvalidUrl::Form));
        check("a.example", Err(InvalidUrl::Form));
        check("https://", Err(InvalidUrl::Form));
        check("https://a.example:0/", Err(InvalidUrl::Form));
        check("https://a.example:/", Err(InvalidUrl::Form));
        check("https://a.example:70000/", Err(InvalidUrl::Form));
        check("https://a.example/a b", Err(InvalidUrl::Form));
        check("https://a.example/\r\nx: y", Err(InvalidUrl::Form));
        check(
            &format!("https://a.example/{}", "x".repeat(9_000)),
            Err(InvalidUrl::TooLong),
        );
    }

    #[test]
    fn a_path_is_never_shown() {
        let url: Url = "https://hooks.example/services/hunter2?key=hunter3"
            .parse()
            .unwrap();
        let shown = format!("{url:?} {} {:?}", url.origin(), url.origin());
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
