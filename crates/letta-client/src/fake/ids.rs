//! Identifiers that look like the server's and repeat with the seed.

use std::collections::HashMap;

use uuid::{Builder, Uuid};

/// A source of `prefix-uuid4` identifiers. Each prefix has its own sequence, so that one more message does not change
/// the id of the next agent.
#[derive(Debug, Clone)]
pub(super) struct Ids {
    seed: u64,
    given: HashMap<&'static str, u64>,
}

impl Ids {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            given: HashMap::new(),
        }
    }

    /// Changes the seed. The sequences go on, so that nothing is given twice.
    pub(super) fn reseed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// A source of its own for what belongs to `name`, e.g. a run: what other runs draw meanwhile does not matter.
    pub(super) fn child(&self, name: &str) -> Self {
        Self::new(seed_for(self.seed, name))
    }

    /// The next identifier with this prefix.
    pub(super) fn next(&mut self, prefix: &'static str) -> String {
        format!("{prefix}-{}", self.next_uuid(prefix))
    }

    /// The next bare UUID of this sequence.
    pub(super) fn next_uuid(&mut self, sequence: &'static str) -> Uuid {
        let number = self.given.entry(sequence).or_default();
        *number += 1;
        let high = mix(self.seed ^ hash(sequence) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let low = mix(high ^ *number);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// A seed for what belongs to `name`.
pub(super) fn seed_for(seed: u64, name: &str) -> u64 {
    mix(seed ^ hash(name))
}

/// The id before this one: the server gives it to a request for approval whose tokens were streamed.
pub(super) fn id_before(id: &str) -> String {
    let Some(uuid) = id
        .strip_prefix("message-")
        .and_then(|uuid| uuid.parse::<Uuid>().ok())
    else {
        return id.to_owned();
    };
    format!("message-{}", Uuid::from_u128(uuid.as_u128().wrapping_sub(1)))
}

/// The `otid` that the server gives part `index` of the message `id`: the id's UUID with its last seven bits
/// replaced.
pub(super) fn otid_of(id: &str, index: u8) -> String {
    let uuid = id.strip_prefix("message-").unwrap_or(id);
    match uuid.parse::<Uuid>() {
        Ok(uuid) => {
            let mut bytes = *uuid.as_bytes();
            bytes[15] = (bytes[15] & 0x80) | (index & 0x7f);
            Uuid::from_bytes(bytes).to_string()
        }
        Err(_) => uuid.to_owned(),
    }
}

/// Whether `id` is `prefix-<uuid4>` in lower case, which is all that a strict server accepts.
pub(super) fn is_well_formed(prefix: &str, id: &str) -> bool {
    id.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(is_uuid4)
}

fn is_uuid4(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            14 => *byte == b'4',
            19 => matches!(byte, b'8' | b'9' | b'a' | b'b'),
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// FNV-1a: the same on every machine and in every release.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// SplitMix64's mixer.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_well_formed_distinct_and_repeatable() {
        let mut ids = Ids::new(7);
        let first = ids.next("agent");
        let second = ids.next("agent");
        assert!(is_well_formed("agent", &first), "{first}");
        assert_ne!(first, second);
        let mut again = Ids::new(7);
        again.next("message");
        assert_eq!(again.next("agent"), first);
        assert_ne!(Ids::new(8).next("agent"), first);
    }

    #[test]
    fn malformed_ids_are_told_from_good_ones() {
        assert!(is_well_formed(
            "agent",
            "agent-123e4567-e89b-42d3-8456-426614174000"
        ));
        for bad in [
            "agent-001",
            "123e4567-e89b-42d3-8456-426614174000",
            "agent-123e4567-e89b-12d3-8456-426614174000",
            "agent-123E4567-e89b-42d3-8456-426614174000",
            "agent-123e4567-e89b-42d3-8456-4266141740001",
        ] {
            assert!(!is_well_formed("agent", bad), "{bad}");
        }
    }

    #[test]
    fn otids_are_derived_as_recorded_from_a_real_server() {
        for (id, index, otid) in [
            (
                "message-c5ea3a24-5ee5-489b-b47b-25aba4a1d76d",
                0,
                "c5ea3a24-5ee5-489b-b47b-25aba4a1d700",
            ),
            (
                "message-0f21aba8-d7f5-4d06-a438-3d82aad8d3fe",
                0,
                "0f21aba8-d7f5-4d06-a438-3d82aad8d380",
            ),
            (
                "message-7711ec5a-2a39-4412-8dbe-6c1325430c8b",
                1,
                "7711ec5a-2a39-4412-8dbe-6c1325430c81",
            ),
        ] {
            assert_eq!(otid_of(id, index), otid);
        }
    }
}
