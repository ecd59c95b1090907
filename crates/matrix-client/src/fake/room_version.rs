//! What differs between the versions of rooms.

use ruma::RoomVersionId;

/// A room version that the server knows: 1 to 12. Those from 10 on are modelled with their differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RoomVersion(u8);

impl RoomVersion {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number: u8 = text.parse().ok()?;
        let plain = (1..=12).contains(&number) && text == number.to_string();
        plain.then_some(Self(number))
    }

    pub(super) fn of(id: &RoomVersionId) -> Self {
        Self::parse(id.as_str()).unwrap_or(Self(12))
    }

    pub(super) fn as_string(self) -> String {
        self.0.to_string()
    }

    /// Ids without a server name, made of the create event's id.
    pub(super) fn ids_are_hashes(self) -> bool {
        self.0 >= 12
    }

    /// Creators stand above all power levels and must not be among them.
    pub(super) fn creators_have_power(self) -> bool {
        self.0 >= 12
    }

    /// `m.room.create` has no `creator`.
    pub(super) fn creator_is_sender(self) -> bool {
        self.0 >= 11
    }

    /// Redactions name their target in the content.
    pub(super) fn redacts_in_content(self) -> bool {
        self.0 >= 11
    }

    /// Power levels must be integers.
    pub(super) fn strict_power_levels(self) -> bool {
        self.0 >= 10
    }

    pub(super) fn has_knocking(self) -> bool {
        self.0 >= 7
    }

    pub(super) fn has_restricted(self) -> bool {
        self.0 >= 8
    }
}
