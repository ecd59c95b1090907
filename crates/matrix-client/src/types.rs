//! The requests and answers of [`MatrixApi`](crate::MatrixApi).
//!
//! They say what a caller wants, not how it travels. Requests are made with `new` and builder methods; answers have
//! public fields and a `new` as well, so that a fake or a mock can make them.

mod account;
mod event;
mod media;
mod message;
mod room;
mod server;
mod session;
mod sync;

pub use account::{
    LoginCredentials, LoginRequest, Profile, Registered, Registration, RegistrationKind, UserHandle, WhoAmI,
};
pub use event::{Event, SkippedEvent, StrippedEvent};
pub use media::{Download, Media, MediaConfig, Upload};
pub use message::{MessagesPage, MessagesRequest};
pub use room::{
    HierarchyPage, HierarchyRequest, InitialState, Member, MemberFilter, NewRoom, SpaceChild, SpaceRoom,
};
pub use server::{LoginFlow, Versions};
pub use session::{Appservice, Authority, Session};
pub use sync::{InvitedRoom, JoinedRoom, LeftRoom, SyncFilter, SyncRequest, SyncResponse, Timeline};

#[doc(no_inline)]
pub use ruma::api::{
    Direction,
    client::{
        filter::{FilterDefinition, RoomEventFilter},
        receipt::create_receipt::v3::ReceiptType,
        room::{Visibility, create_room::v3::RoomPreset},
    },
};
#[doc(no_inline)]
pub use ruma::events::{
    MessageLikeEventType, StateEventType, TimelineEventType, receipt::ReceiptThread,
    room::member::MembershipState,
};
#[doc(no_inline)]
pub use ruma::{presence::PresenceState, room::RoomType};
