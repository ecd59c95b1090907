//! Identifiers and tokens, the same ones for the same seed.

use std::collections::BTreeMap;

use ruma::serde::{Base64, base64::UrlSafe};

/// Each kind of identifier has a series of its own, so that one more token does not change the ids of rooms.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    seed: u64,
    counters: BTreeMap<&'static str, u64>,
}

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

impl Ids {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            counters: BTreeMap::new(),
        }
    }

    /// 43 characters of url-safe base64, as in the ids of events.
    pub(super) fn hash(&mut self, kind: &'static str) -> String {
        let bytes: Vec<u8> = self
            .words(kind, 4)
            .into_iter()
            .flat_map(u64::to_be_bytes)
            .collect();
        Base64::<UrlSafe, _>::new(bytes).encode()
    }

    pub(super) fn event_id(&mut self) -> String {
        format!("${}", self.hash("event"))
    }

    /// The opaque part of a room id before version 12.
    pub(super) fn room(&mut self) -> String {
        self.letters("room", 18)
    }

    pub(super) fn device(&mut self) -> String {
        self.letters("device", 10).to_ascii_uppercase()
    }

    pub(super) fn media(&mut self) -> String {
        self.letters("media", 24)
    }

    pub(super) fn session(&mut self) -> String {
        self.letters("session", 24)
    }

    pub(super) fn nonce(&mut self) -> String {
        self.words("nonce", 8)
            .into_iter()
            .map(|word| format!("{word:016x}"))
            .collect()
    }

    pub(super) fn access_token(&mut self, localpart: &str) -> String {
        self.token("syt", localpart)
    }

    pub(super) fn refresh_token(&mut self, localpart: &str) -> String {
        self.token("syr", localpart)
    }

    fn token(&mut self, prefix: &'static str, localpart: &str) -> String {
        let name = Base64::<UrlSafe, _>::new(localpart.as_bytes()).encode();
        format!(
            "{prefix}_{name}_{}_{}",
            self.letters(prefix, 20),
            self.letters("token end", 6)
        )
    }

    pub(super) fn letters(&mut self, kind: &'static str, count: usize) -> String {
        let letter = |word: u64| char::from(LETTERS[usize::try_from(word % 52).unwrap_or_default()]);
        self.words(kind, count).into_iter().map(letter).collect()
    }

    fn words(&mut self, kind: &'static str, count: usize) -> Vec<u64> {
        let counter = self.counters.entry(kind).or_default();
        *counter += 1;
        let series = kind
            .bytes()
            .fold(self.seed, |hash, byte| mix(hash ^ u64::from(byte)));
        let mut state = mix(series ^ counter.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (0..count)
            .map(|_| {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                mix(state)
            })
            .collect()
    }
}

/// The finalizer of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_ids_again_and_other_seeds_others() {
        let ids = |seed| {
            let mut ids = Ids::new(seed);
            (ids.event_id(), ids.room(), ids.event_id())
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
        let (first, room, second) = ids(1);
        assert_ne!(first, second);
        assert_eq!((first.len(), room.len()), (44, 18));
    }

    #[test]
    fn one_series_does_not_disturb_another() {
        let (mut one, mut other) = (Ids::new(1), Ids::new(1));
        other.access_token("alice");
        assert_eq!(one.room(), other.room());
    }
}
