//! Who calls the webhook: `X-Letta-Signature: t=<unix seconds>,v1=<hexadecimal HMAC-SHA256 of "{t}.{body}">`.

use std::fmt::Write as _;

use axum::http::HeaderValue;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The header.
pub(crate) const HEADER: &str = "x-letta-signature";

/// How far a caller's clock may be from ours, in seconds. Within it a call can be repeated by whoever overheard it,
/// which asks for a sync and changes nothing.
const TOLERANCE: i64 = 5 * 60;

/// Why a call is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disbelief {
    /// There is no signature.
    Missing,
    /// It does not look like one.
    Malformed,
    /// It is not one of this body by this secret.
    Wrong,
    /// It is right, and was made so many seconds before now; after now, if negative.
    Stale(i64),
}

/// Signs a body: the value of the header `X-Letta-Signature`.
///
/// ```
/// let signature = gateway::sign(&"not-a-real-secret".into(), 1_767_268_800, b"{}");
/// assert!(signature.starts_with("t=1767268800,v1="));
/// ```
#[must_use]
pub fn sign(secret: &SecretString, unix_seconds: i64, body: &[u8]) -> String {
    let mut header = format!("t={unix_seconds},v1=");
    if let Some(mac) = mac(secret, &unix_seconds.to_string(), body) {
        for byte in mac.finalize().into_bytes() {
            // Writing to a string does not fail.
            let _ = write!(header, "{byte:02x}");
        }
    }
    header
}

/// Whether this body was signed with this secret, and not long ago.
pub(crate) fn verify(
    header: Option<&HeaderValue>,
    body: &[u8],
    secret: &SecretString,
    now: Timestamp,
) -> Result<(), Disbelief> {
    let header = header.ok_or(Disbelief::Missing)?;
    let header = header.to_str().map_err(|_| Disbelief::Malformed)?;
    let signature = Signature::parse(header).ok_or(Disbelief::Malformed)?;
    let mac = mac(secret, signature.time_text, body).ok_or(Disbelief::Wrong)?;
    // Compared in constant time. Several signatures are there while a secret is replaced.
    let is_ours = signature
        .tags
        .iter()
        .any(|tag| mac.clone().verify_slice(tag).is_ok());
    if !is_ours {
        return Err(Disbelief::Wrong);
    }
    let age = now.as_second().saturating_sub(signature.time);
    if age.saturating_abs() > TOLERANCE {
        return Err(Disbelief::Stale(age));
    }
    Ok(())
}

/// `None` when the secret can be no key, which does not happen: any length will do.
fn mac(secret: &SecretString, time: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).ok()?;
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

struct Signature<'a> {
    time_text: &'a str,
    time: i64,
    tags: Vec<[u8; 32]>,
}

impl<'a> Signature<'a> {
    /// Versions other than `v1` are left out of account.
    fn parse(header: &'a str) -> Option<Self> {
        let (mut times, mut tags) = (Vec::new(), Vec::new());
        for part in header.split(',') {
            match part.trim().split_once('=')? {
                ("t", time) => times.push(time),
                ("v1", tag) => tags.push(bytes(tag)?),
                _ => {}
            }
        }
        let &[time_text] = times.as_slice() else {
            return None;
        };
        let is_number = !time_text.is_empty() && time_text.bytes().all(|byte| byte.is_ascii_digit());
        let time = time_text.parse().ok().filter(|_| is_number)?;
        (!tags.is_empty()).then_some(Self {
            time_text,
            time,
            tags,
        })
    }
}

/// 32 bytes in hexadecimal digits.
fn bytes(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_767_268_800, 0);
    const BODY: &[u8] = br#"{"agent_id":"agent-001","timestamp":1767268800}"#;

    fn secret() -> SecretString {
        "not-a-real-secret-webhook".into()
    }

    fn verified(header: &str) -> Result<(), Disbelief> {
        verify(
            Some(&HeaderValue::from_str(header).unwrap()),
            BODY,
            &secret(),
            NOW,
        )
    }

    #[test]
    fn a_signature_is_what_other_tools_make_of_it() {
        // printf '%s.%s' 1767268800 "$BODY" | openssl dgst -sha256 -hmac not-a-real-secret-webhook
        let tag = "5229656abd9555dcde2fe4102d366b9e774535bb50e27d931264bea04e4e9648";
        let header = format!("t=1767268800,v1={tag}");
        assert_eq!(sign(&secret(), NOW.as_second(), BODY), header);
        assert_eq!(verified(&header), Ok(()));
        assert_eq!(
            verified(&format!("t=1767268800, v1={}", tag.to_uppercase())),
            Ok(())
        );
    }

    #[test]
    fn another_body_time_or_secret_is_not_believed() {
        let header = sign(&secret(), NOW.as_second(), BODY);
        let header = HeaderValue::from_str(&header).unwrap();
        let other = "not-a-real-secret-other".into();
        assert_eq!(
            verify(Some(&header), b"{}", &secret(), NOW),
            Err(Disbelief::Wrong)
        );
        assert_eq!(verify(Some(&header), BODY, &other, NOW), Err(Disbelief::Wrong));
        let tag = sign(&secret(), NOW.as_second(), BODY).replace("t=1767268800", "t=1767268801");
        assert_eq!(verified(&tag), Err(Disbelief::Wrong));
        assert_eq!(verify(None, BODY, &secret(), NOW), Err(Disbelief::Missing));
    }

    #[test]
    fn a_signature_is_good_for_five_minutes_before_and_after() {
        for (offset, expected) in [
            (-300, Ok(())),
            (300, Ok(())),
            (-301, Err(Disbelief::Stale(301))),
            (301, Err(Disbelief::Stale(-301))),
        ] {
            assert_eq!(
                verified(&sign(&secret(), NOW.as_second() + offset, BODY)),
                expected,
                "{offset}"
            );
        }
    }

    #[test]
    fn one_of_several_signatures_is_enough() {
        let header = sign(&secret(), NOW.as_second(), BODY);
        let (time, tag) = header.split_once(',').unwrap();
        let other = format!("v1={}", "0".repeat(64));
        assert_eq!(verified(&format!("{time},{other},{tag},v0=x")), Ok(()));
        assert_eq!(verified(&format!("{time},{other}")), Err(Disbelief::Wrong));
    }

    #[test]
    fn what_is_no_signature_is_told_so() {
        let tag = "0".repeat(64);
        for header in [
            String::new(),
            "v1".to_owned(),
            "t=1767268800".to_owned(),
            format!("v1={tag}"),
            format!("t=,v1={tag}"),
            format!("t=+1,v1={tag}"),
            format!("t=-1,v1={tag}"),
            format!("t=99999999999999999999,v1={tag}"),
            format!("t=1,t=2,v1={tag}"),
            format!("t=1767268800,v1={}", &tag[1..]),
            format!("t=1767268800,v1={}", tag.replacen('0', "g", 1)),
            format!("t=1767268800,v1={}", tag.replacen("00", "+1", 1)),
        ] {
            assert_eq!(verified(&header), Err(Disbelief::Malformed), "{header}");
        }
    }
}
