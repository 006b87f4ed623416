//! The closed list of handshakes, by the names of a descriptor.

use std::fmt;

/// What a partner asks an endpoint before it delivers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HandshakeKind {
    /// Give a challenge back (Slack, Meta, Dropbox, Twitch, Microsoft Graph).
    EchoChallenge,
    /// Give the MAC of a challenge back (Zoom, Braintree).
    AnswerChallenge,
    /// Keep the secret that the partner sends once (Asana, Notion).
    StoreSecret,
    /// Answer a probe without a body (Trello, Intercom).
    Probe,
    /// Answer a ping with a fixed document (Discord).
    Pong,
    /// Fetch the URL that a signed request names (AWS SNS).
    ConfirmUrl,
    /// Say which origins may deliver (`CloudEvents`).
    AllowOrigin,
    /// Answer an unsigned ping when the webhook is created (`WooCommerce`).
    UnsignedPing,
    /// Acknowledge a verified request that reports nothing (Google, Xero).
    Acknowledge,
}

impl HandshakeKind {
    const ALL: [Self; 9] = [
        Self::EchoChallenge,
        Self::AnswerChallenge,
        Self::StoreSecret,
        Self::Probe,
        Self::Pong,
        Self::ConfirmUrl,
        Self::AllowOrigin,
        Self::UnsignedPing,
        Self::Acknowledge,
    ];

    /// The words of a descriptor.
    pub(crate) const NAMES: [&'static str; 9] = [
        "echo-challenge",
        "answer-challenge",
        "store-secret",
        "probe",
        "pong",
        "confirm-url",
        "allow-origin",
        "unsigned-ping",
        "acknowledge",
    ];

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The word of a descriptor.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EchoChallenge => "echo-challenge",
            Self::AnswerChallenge => "answer-challenge",
            Self::StoreSecret => "store-secret",
            Self::Probe => "probe",
            Self::Pong => "pong",
            Self::ConfirmUrl => "confirm-url",
            Self::AllowOrigin => "allow-origin",
            Self::UnsignedPing => "unsigned-ping",
            Self::Acknowledge => "acknowledge",
        }
    }
}

impl fmt::Display for HandshakeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_agree() {
        assert_eq!(
            HandshakeKind::ALL.map(HandshakeKind::name),
            HandshakeKind::NAMES
        );
        for kind in HandshakeKind::ALL {
            assert_eq!(HandshakeKind::parse(kind.name()), Some(kind));
        }
    }
}
