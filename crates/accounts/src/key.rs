//! The secret behind all accounts: what passwords are derived from and tokens are encrypted with.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use hkdf::Hkdf;
use ruma::UserId;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The shortest key that is accepted, in characters.
const MIN_CHARS: usize = 32;

/// What a password is derived for. Changing it locks every account out.
const PASSWORD: &str = "letta-matrix/account-password/1";

/// What the key of tokens and passwords at rest is derived for.
const SEALING: &str = "letta-matrix/account-sealing/1";

/// The first byte of everything sealed: how it was sealed.
const VERSION: u8 = 1;

const NONCE_BYTES: usize = 24;

/// The secret that agents' passwords are derived from and their tokens are encrypted with.
///
/// Whoever has it can log in as every agent. Whoever lost it cannot, not even with the database.
///
/// Password and encryption key are HKDF-SHA256 of the secret's characters under different labels, the password with the
/// user's id in its label. So a password is an HMAC-SHA256 over the user's id and says nothing about any other.
#[derive(Clone)]
pub struct AccountKey(SecretString);

/// A key that is too short to be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key is shorter than {MIN_CHARS} characters")]
pub struct WeakKey;

/// What is encrypted, so that one cannot stand for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Token,
    Password,
}

impl AccountKey {
    /// The key that this text is. Any text will do that nobody can guess; [`generate`](Self::generate) makes one.
    ///
    /// # Errors
    /// When it is shorter than 32 characters.
    pub fn new(secret: SecretString) -> Result<Self, WeakKey> {
        if secret.expose_secret().chars().count() < MIN_CHARS {
            return Err(WeakKey);
        }
        Ok(Self(secret))
    }

    /// The text of a new random key: 32 bytes as hexadecimal digits.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub fn generate() -> std::io::Result<SecretString> {
        let bytes: [u8; 32] = random()?;
        Ok(bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
            .into())
    }

    /// The password of an agent's user.
    pub fn password(&self, user: &UserId) -> SecretString {
        let bytes = self.derive(&[PASSWORD.as_bytes(), b"\0", user.as_bytes()]);
        URL_SAFE_NO_PAD.encode(bytes).into()
    }

    /// Encrypts a token or a password for the store. It can be opened for this user, and as what it is, only.
    pub(crate) fn seal(
        &self,
        user: &UserId,
        content: Content,
        secret: &SecretString,
    ) -> std::io::Result<Vec<u8>> {
        let nonce: [u8; NONCE_BYTES] = random()?;
        let aad = associated_data(user, content);
        let payload = Payload {
            msg: secret.expose_secret().as_bytes(),
            aad: &aad,
        };
        let encrypted = self
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| std::io::Error::other("it cannot be encrypted"))?;
        Ok([&[VERSION], nonce.as_slice(), &encrypted].concat())
    }

    /// `None`: it was sealed under another key, for another user, as something else, or was damaged.
    pub(crate) fn open(&self, user: &UserId, content: Content, sealed: &[u8]) -> Option<SecretString> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, encrypted) = rest.split_first_chunk::<NONCE_BYTES>()?;
        if *version != VERSION {
            return None;
        }
        let aad = associated_data(user, content);
        let payload = Payload {
            msg: encrypted,
            aad: &aad,
        };
        let bytes = self.cipher().decrypt(&XNonce::from(*nonce), payload).ok()?;
        String::from_utf8(bytes).ok().map(Into::into)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.derive(&[SEALING.as_bytes()]).into())
    }

    fn derive(&self, label: &[&[u8]]) -> [u8; 32] {
        let mut derived = [0; 32];
        #[expect(clippy::expect_used, reason = "HKDF-SHA256 refuses only more than 8160 bytes")]
        Hkdf::<Sha256>::new(None, self.0.expose_secret().as_bytes())
            .expand_multi_info(label, &mut derived)
            .expect("32 bytes");
        derived
    }
}

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccountKey")
    }
}

fn associated_data(user: &UserId, content: Content) -> Vec<u8> {
    let content: &[u8] = match content {
        Content::Token => b"token",
        Content::Password => b"password",
    };
    [content, b"\0", user.as_bytes()].concat()
}

/// The one place where randomness comes from.
fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn key(text: &str) -> AccountKey {
        AccountKey::new(text.into()).expect("a long key")
    }

    fn test_key() -> AccountKey {
        key("not-a-real-account-key-0123456789")
    }

    #[test]
    fn passwords_are_the_same_for_ever() {
        // Made with another implementation of HKDF. Other words here mean that every agent is locked out.
        let expected = "0LM88fZ0-2daVaV_9S54g9JKkFmWOCiRs_3MWKvBi7w";
        let password = test_key().password(user_id!("@agent_001:matrix.test"));
        assert_eq!(password.expose_secret(), expected);
    }

    #[test]
    fn every_user_and_every_key_has_passwords_of_its_own() {
        let users = [
            user_id!("@agent_1:matrix.test"),
            user_id!("@agent_11:matrix.test"),
            user_id!("@agent_1:matrix.tes"),
        ];
        let mut passwords: Vec<_> = users
            .iter()
            .flat_map(|user| {
                [
                    test_key(),
                    key("not-a-real-account-key-0123456780"),
                    key("not-a-real-account-key-0123456789 "),
                ]
                .map(|key| key.password(user).expose_secret().to_owned())
            })
            .collect();
        passwords.sort();
        passwords.dedup();
        assert_eq!(passwords.len(), 9);
        assert!(passwords.iter().all(|password| password.len() == 43));
    }

    #[test]
    fn what_was_sealed_opens_with_the_same_key_for_the_same_user_as_the_same_thing() {
        let (key, user) = (test_key(), user_id!("@agent_1:matrix.test"));
        let sealed = key
            .seal(user, Content::Token, &"not-a-real-token".into())
            .unwrap();
        let opened = |key: &AccountKey, user: &UserId, content, sealed: &[u8]| {
            key.open(user, content, sealed)
                .map(|secret| secret.expose_secret().to_owned())
        };
        assert_eq!(
            opened(&key, user, Content::Token, &sealed).as_deref(),
            Some("not-a-real-token")
        );
        let other_key = AccountKey::new(AccountKey::generate().unwrap()).unwrap();
        assert_eq!(opened(&other_key, user, Content::Token, &sealed), None);
        let other_user = user_id!("@agent_2:matrix.test");
        assert_eq!(opened(&key, other_user, Content::Token, &sealed), None);
        assert_eq!(opened(&key, user, Content::Password, &sealed), None);
        for position in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[position] ^= 1;
            assert_eq!(
                opened(&key, user, Content::Token, &damaged),
                None,
                "byte {position}"
            );
            assert_eq!(opened(&key, user, Content::Token, &sealed[..position]), None);
        }
    }

    #[test]
    fn the_same_is_never_sealed_alike() {
        let (key, user) = (test_key(), user_id!("@agent_1:matrix.test"));
        let seal = || {
            key.seal(user, Content::Token, &"not-a-real-token".into())
                .unwrap()
        };
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_short_key_is_refused() {
        assert_eq!(AccountKey::new("x".repeat(31).into()).err(), Some(WeakKey));
        assert!(AccountKey::new("x".repeat(32).into()).is_ok());
        let generated = AccountKey::generate().unwrap();
        assert_eq!(generated.expose_secret().len(), 64);
        assert!(AccountKey::new(generated).is_ok());
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", test_key()), "AccountKey");
    }
}
