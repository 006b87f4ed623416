//! A signer for each algorithm, with the key that checks it.
//!
//! The RSA key is the published one of RFC 9421 (`test-key-rsa-pss`); the others are made
//! of fixed bytes. Nothing here is a secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA512, RsaKeyPair,
};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

/// A certificate of the RSA key, for `partner.test.example`, signed by itself.
pub(crate) const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIDHDCCAgSgAwIBAgIUPorj5l6jbPffUQHFU1+gT8oxTxwwDQYJKoZIhvcNAQEL
BQAwHzEdMBsGA1UEAwwUcGFydG5lci50ZXN0LmV4YW1wbGUwHhcNMjYxMTI0MTkz
NjEyWhcNMzYxMTIxMTkzNjEyWjAfMR0wGwYDVQQDDBRwYXJ0bmVyLnRlc3QuZXhh
bXBsZTCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAK+LZpt69tFnfz26
rz9bNvkBLb6bkWlfGKuNII1EfMtkY8WunaRthlx2z37zLPHLfi4dRh+OcdvEcN0c
ud5pvqAF48kPOjpw5GeTfJWG4IA+Dt8OjOqQLy5IZPeQJ3U64n2yBTzVPDzzDuzs
qxQB6oA7M54zxZkzrQhHDdmdRaVoHIcLmCzy/lqJKpbXddZ6qs4vmyfXL0igA2HV
AADeVlLc3aYsui204EsT+6HIlOE59IOSOmg2SewPC86NCksmWKAOPOZqnDtBlQHV
cPZauGjk/b+nfp2+G5zZEFZJS0N31QLyZvsXQzqfSwjQjePFdqZwzpBVevlPZ1ea
MnOlyNsCAwEAAaNQME4wHwYDVR0RBBgwFoIUcGFydG5lci50ZXN0LmV4YW1wbGUw
DAYDVR0TAQH/BAIwADAdBgNVHQ4EFgQUuFwKSKL5HXiHxGqhQAD9tci7CfUwDQYJ
KoZIhvcNAQELBQADggEBAEmHe0AJ3WEG8fmfXrCDWQHKRa0nBcbmcfYWZLWBxG+Q
dVO7o//zsz58mdSssF5tcgHPPLwgkQm0FBn8De0Z4wS72/yG5VCW9sCzAMXwnhvG
EtlqBCFNNB3oy4H733zZf6zt9DkS9+pFd+ImVrr0hYj920D9q8bvIDfxIFxg8p7q
im1PW8lzVTXF0P06tKzLRvGoBxtNlBa8Dq7aIo1jHAEGpDxLseni896TxUVCyrQU
v5uwBtEm/wwhsQakCGEuWB0njS29Ua9Xk9n8CNM9Pdc2/G/HeqI0quHAZppvNA3E
otJDCHdjRgauapWxvpyh8lpzSrxV+mvc9tDCcXMd6Vk=
-----END CERTIFICATE-----";

/// The RSA key, as PKCS#1.
const RSA_PRIVATE: &str = "MIIEpgIBAAKCAQEAr4tmm3r20Wd/PbqvP1s2+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry5\
    3mm+oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPFmTOtCEcN2Z1FpWgchwuY\
    LPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw\
    9lq4aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI2wIDAQABAoIBAQCUB8ip+kJiiZVK\
    F8AqfB/aUP0jTAqOQewK1kKJ/iQCXBCqpbo360gvdt05H5VZ/RDVkEgO2k73VSsbulqezKs8RFs2tEmU+JgTI9MeQJPWcP6X\
    aKy6LIYs0E2cWgp8GADgoBs8llBq0UhX0KffglIeek3n7Z6Gt4YFge2TAcW2WbN4XfK7lupFyo6HHyWRiYHMMARQXLJeOSdT\
    n5aMBP0PO4bQyk5ORxTUSeOciPJUFktQHkvGbym7KryEfwH8Tks0L7WhzyP60PL3xS9FNOJi9m+zztwYIXGDQuKM2GDsITeD\
    2mI2oHoPMyAD0wdI7BwSVW18p1h+jgfc4dlexKYRAoGBAOVfuiEiOchGghV5vn5NRDNscAFnpHj1QgMr6/UG05RTgmcLfVsI\
    1I4bSkbrIuVKviGGf7atlkROALOG/xRxDLadgBEeNyHL5lz6ihQaFJLVQ0u3U4SB67J0YtVO3R6lXcIjBDHuY8SjYJ7Ci6Z6\
    vuDcoaEujnlrtUhaMxvSfcUJAoGBAMPsCHXte1uWNAqYad2WdLjPDlKtQJK1diCmrqmB2g8QE99hDOHItjDBEdpyFBKOIP+N\
    pVtM2KLhRajjcL9Ph8jrID6XUqikQuVi4J9FV2m42jXMuioTT13idAILanYg8D3idvy/3isDVkON0X3UAVKrgMEne0hJpkPL\
    FYqgetvDAoGBAKLQ6JZMbSe0pPIJkSamQhsehgL5Rs51iX4m1z7+sYFAJfhvN3Q/OGIHDRp6HjMUcxHpHw7U+S1TETxePwKL\
    nLKj6hw8jnX2/nZRgWHzgVcY+sPsReRxNJVf+Cfh6yOtznfX00p+JWOXdSY8glSSHJwRAMog+hFGW1AYdt7w80XBAoGBAImR\
    NUugqapgaEA8TrFxkJmngXYaAqpA0iYRA7kv3S4QavPBUGtFJHBNULzitydkNtVZ3w6hgce0h9YThTo/nKc+OZDZbgfN9s7c\
    Q75x0PQCAO4fx2P91Q+mDzDUVTeG30mEt2m3S0dGe47JiJxifV9P3wNBNrZGSIF3mrORBVNDAoGBAI0QKn2Iv7Sgo4T/XjND\
    dl2kZTXqGAk8dOhpUiw/HdM3OGWbhHj2NdCzBliOmPyQtAr770GITWvbAI+IRYyFS7Fnk6ZVVVHsxjtaHy1uJGFlaZzKR4AG\
    NaUTOJMs6NadzCmGPAxNQQOCqoUjn4XRrOjr9w349JooGXhOxbu8nOxX";

/// With what something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    HmacSha1,
    HmacSha256,
    HmacSha512,
    Ed25519,
    EcdsaDer,
    EcdsaFixed,
    RsaPkcs1Sha256,
    RsaPssSha512,
}

impl Signer {
    /// The bytes of the key that checks it: the shared secret, a raw Ed25519 key, or the
    /// content of an SPKI's bit string.
    pub(crate) fn key(self) -> Vec<u8> {
        match self {
            Self::HmacSha1 | Self::HmacSha256 | Self::HmacSha512 => b"a shared secret".to_vec(),
            Self::Ed25519 => ed25519().public_key().as_ref().to_vec(),
            Self::EcdsaDer | Self::EcdsaFixed => ecdsa(true).public_key().as_ref().to_vec(),
            Self::RsaPkcs1Sha256 | Self::RsaPssSha512 => rsa().public_key().as_ref().to_vec(),
        }
    }

    /// Signs with the key, or with other bytes of a shared secret.
    pub(crate) fn sign(self, content: &[u8]) -> Vec<u8> {
        let key = b"a shared secret";
        match self {
            Self::HmacSha1 => {
                let mac = Hmac::<Sha1>::new_from_slice(key).unwrap();
                mac.chain_update(content).finalize().into_bytes().to_vec()
            }
            Self::HmacSha256 => hmac_sha256(key, content),
            Self::HmacSha512 => {
                let mac = Hmac::<Sha512>::new_from_slice(key).unwrap();
                mac.chain_update(content).finalize().into_bytes().to_vec()
            }
            Self::Ed25519 => ed25519().sign(content).as_ref().to_vec(),
            Self::EcdsaDer | Self::EcdsaFixed => {
                let pair = ecdsa(self == Self::EcdsaDer);
                let signature = pair.sign(&SystemRandom::new(), content).unwrap();
                signature.as_ref().to_vec()
            }
            Self::RsaPkcs1Sha256 | Self::RsaPssSha512 => {
                let padding: &dyn ring::signature::RsaEncoding = match self {
                    Self::RsaPkcs1Sha256 => &RSA_PKCS1_SHA256,
                    _ => &RSA_PSS_SHA512,
                };
                let pair = rsa();
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &SystemRandom::new(), content, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    /// The text of a key in the form `public key`, or of a secret in the form `hex`.
    pub(crate) fn key_text(self, key: &[u8]) -> String {
        match self {
            Self::HmacSha1 | Self::HmacSha256 | Self::HmacSha512 | Self::Ed25519 => {
                hex::encode(key)
            }
            Self::EcdsaDer | Self::EcdsaFixed => spki(P256_ALGORITHM, key),
            Self::RsaPkcs1Sha256 | Self::RsaPssSha512 => spki(RSA_ALGORITHM, key),
        }
    }

    /// The key form of a scheme document.
    pub(crate) fn form(self) -> &'static str {
        match self {
            Self::HmacSha1 | Self::HmacSha256 | Self::HmacSha512 => "hex",
            _ => "public key",
        }
    }
}

const P256_ALGORITHM: &[u8] = &[
    0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1,
    7,
];
const RSA_ALGORITHM: &[u8] = &[
    0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0,
];

fn spki(algorithm: &[u8], key: &[u8]) -> String {
    let bits = element(0x03, &[&[0], key].concat());
    STANDARD.encode(element(0x30, &[algorithm, &bits].concat()))
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let mut bytes = match content.len() {
        0..=127 => vec![tag, length[7]],
        _ => vec![tag, 0x82, length[6], length[7]],
    };
    bytes.extend_from_slice(content);
    bytes
}

pub(crate) fn hmac_sha256(key: &[u8], content: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.chain_update(content).finalize().into_bytes().to_vec()
}

fn ed25519() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

fn ecdsa(der: bool) -> EcdsaKeyPair {
    // A PKCS#8 document of P-256 with fixed bytes: the RFC's test-key-ecc-p256.
    let algorithm = if der {
        &ECDSA_P256_SHA256_ASN1_SIGNING
    } else {
        &ECDSA_P256_SHA256_FIXED_SIGNING
    };
    let private = URL_SAFE_NO_PAD
        .decode("UpuF81l-kOxbjf7T4mNSv0r5tN67Gim7rnf6EFpcYDs")
        .unwrap();
    let public = STANDARD
        .decode("BKiFWGVSwqz2Rxh4z9ewk1tP/g/S38NBJI6he8QeBYrwMc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0=")
        .unwrap();
    EcdsaKeyPair::from_private_key_and_public_key(
        algorithm,
        &private,
        &public,
        &SystemRandom::new(),
    )
    .unwrap()
}

fn rsa() -> RsaKeyPair {
    RsaKeyPair::from_der(&STANDARD.decode(RSA_PRIVATE).unwrap()).unwrap()
}

/// The SHA-256 of some bytes in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A compact JWS with that header and payload.
pub(crate) fn token(header: &str, payload: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
