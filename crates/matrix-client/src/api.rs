use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use async_trait::async_trait;
use ruma::{
    EventId, MxcUri, OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedServerName, OwnedUserId, RoomAliasId,
    RoomId, RoomOrAliasId, TransactionId, UserId,
};
use serde_json::Value;

use crate::{
    Download, Event, HierarchyPage, HierarchyRequest, LoginFlow, LoginRequest, Media, MediaConfig, Member,
    MemberFilter, MessageLikeEventType, MessagesPage, MessagesRequest, NewRoom, Profile, ReceiptThread,
    ReceiptType, Registered, Registration, Result, Session, StateEventType, SyncRequest, SyncResponse,
    Upload, Versions, WhoAmI,
};

mod ext;

pub use ext::MatrixApiExt;

/// The Matrix client-server API, as far as a bridge needs it.
///
/// What holds for every call:
///
/// - **Authority.** `session` says who acts. A token that the server does not know is `Unauthorized`, an empty one
///   `MissingToken`. An application service's session for a user that is outside its namespace, or in it but not
///   registered, is `Forbidden`. The application service's own sender needs no registration.
/// - **Absence** is the error `NotFound`; [`MatrixApiExt`] has `find_…` calls that turn it into `None`. Whoever is not
///   in a room gets `Forbidden` for everything in it, whether the room exists or not.
/// - **Repetition.** Calls named `set_…`, `get_…`, `list_…`, `join_room` and those with a transaction id are
///   idempotent: doing them again changes nothing more. [`create_room`](Self::create_room),
///   [`register`](Self::register), [`login`](Self::login) and [`upload_media`](Self::upload_media) are not.
/// - **Errors** of a server keep its status, code and words. [`MatrixError::is_retryable`](crate::MatrixError::is_retryable) is true for lost
///   connections, timeouts, rate limits and 5xx alone; [`MatrixError::may_have_applied`](crate::MatrixError::may_have_applied) tells whether the outcome of a
///   change is unknown.
/// - **Order.** Calls that one task makes one after the other take effect in that order. Nothing is said about calls
///   made at the same time.
/// - **Contents** of events are JSON objects, as [`Value`]; what is not an object is `BadJson`.
///
/// All calls are required, so that a decorator cannot forget one; convenience is in [`MatrixApiExt`].
#[async_trait]
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait MatrixApi: Send + Sync + Debug {
    // ---- server ----

    /// The versions and unstable features that the server speaks. Needs no session.
    ///
    /// `GET /_matrix/client/versions`
    async fn versions(&self) -> Result<Versions>;

    /// The ways to log in that the server offers. Needs no session.
    ///
    /// `GET /_matrix/client/v3/login`
    async fn login_flows(&self) -> Result<Vec<LoginFlow>>;

    // ---- accounts ----

    /// Logs in and makes an access token, on the given device or on a new one.
    ///
    /// A wrong password, a user that does not exist, one without a password and a deactivated one are all the same
    /// `Forbidden`: a login does not tell whether a user exists. A login as an application service's user that does
    /// not exist is `NotFound`. Logging in on a device that exists keeps its transaction ids; servers may end the
    /// device's earlier session (Synapse does not).
    ///
    /// `POST /_matrix/client/v3/login`
    async fn login(&self, request: &LoginRequest) -> Result<Session>;

    /// Whom the server takes the session for.
    ///
    /// `GET /_matrix/client/v3/account/whoami`
    async fn whoami(&self, session: &Session) -> Result<WhoAmI>;

    /// Ends the session's access token and removes its device. Later calls with it are `Unauthorized`.
    ///
    /// An application service's token cannot be logged out; trying is an error and changes nothing.
    ///
    /// `POST /_matrix/client/v3/logout`
    async fn logout(&self, session: &Session) -> Result<()>;

    /// Makes a user.
    ///
    /// The steps of user-interactive authentication are done inside. A server that asks for steps that
    /// [`Registration::kind`] does not cover is `InteractiveAuthRequired`; one that has registration closed is
    /// `Forbidden`; a wrong registration token is `Forbidden` or `InteractiveAuthRequired`.
    ///
    /// A name that exists, or existed and was deactivated, is `UserInUse`: for an application service this is the
    /// cheap way to make sure that a user exists. A name in an application service's namespace is `Exclusive` for
    /// everyone else, and a name outside of it is `Exclusive` for the application service. Application services
    /// are not limited by closed registration. Servers may lower-case the localpart, and do not check
    /// the localparts that application services ask for.
    ///
    /// Not idempotent; but calling again after an unknown outcome is answered with `UserInUse` if it had worked.
    ///
    /// `POST /_matrix/client/v3/register`
    async fn register(&self, registration: &Registration) -> Result<Registered>;

    /// Whether a localpart can still be registered by an ordinary user. Needs no session.
    ///
    /// `false` means taken. A localpart that nobody may have is `InvalidUsername`, one in an application
    /// service's namespace is `Exclusive`, closed registration is `Forbidden`. Servers limit this call severely
    /// (Synapse: one per second and address).
    ///
    /// `GET /_matrix/client/v3/register/available`
    async fn is_username_available(&self, localpart: &str) -> Result<bool>;

    /// The profile of any user. `NotFound` if neither name nor avatar is set, which does not prove that the user
    /// does not exist. A registered user's name is the localpart until another is set.
    ///
    /// `GET /_matrix/client/v3/profile/{userId}`
    async fn get_profile(&self, session: &Session, user_id: &UserId) -> Result<Profile>;

    /// Sets or (`None`, or empty) removes the display name of the session's user.
    ///
    /// The profile changes at once; the user's membership events in rooms follow in the background, and of several
    /// changes the last one wins.
    ///
    /// `PUT /_matrix/client/v3/profile/{userId}/displayname`
    async fn set_display_name<'a>(&self, session: &Session, name: Option<&'a str>) -> Result<()>;

    /// Sets or (`None`, or empty) removes the avatar of the session's user. The server does not check the URI.
    ///
    /// `PUT /_matrix/client/v3/profile/{userId}/avatar_url`
    async fn set_avatar_url<'a>(&self, session: &Session, avatar_url: Option<&'a MxcUri>) -> Result<()>;

    // ---- rooms ----

    /// Makes a room or a space with the session's user as creator and member.
    ///
    /// A taken alias is `RoomInUse` (status 400), and no room is made. Two calls at the same time with the same alias:
    /// one makes the room, the other is `RoomInUse` or `Conflict` (status 409). An alias in another application
    /// service's namespace is `Exclusive`. Inviting oneself is `Forbidden`. Inviting a local user who does not exist
    /// works. A room version the server does not know is `UnsupportedRoomVersion`; in room version 12 naming
    /// the creator among the power levels' `users` is an error (status 400).
    ///
    /// Not idempotent: each call makes a room, unless an alias prevents it. When the error
    /// [may have applied](crate::MatrixError::may_have_applied), resolve the alias before calling again.
    ///
    /// `POST /_matrix/client/v3/createRoom`
    async fn create_room(&self, session: &Session, room: &NewRoom) -> Result<OwnedRoomId>;

    /// The room that an alias points to. `NotFound` if there is none.
    ///
    /// `GET /_matrix/client/v3/directory/room/{roomAlias}`
    async fn resolve_alias(&self, session: &Session, alias: &RoomAliasId) -> Result<OwnedRoomId>;

    /// Points an alias to a room. `Conflict` (status 409) if it points anywhere already, even to this room.
    ///
    /// `PUT /_matrix/client/v3/directory/room/{roomAlias}`
    async fn create_alias(&self, session: &Session, alias: &RoomAliasId, room_id: &RoomId) -> Result<()>;

    /// Removes an alias. `NotFound` if there is none.
    ///
    /// `DELETE /_matrix/client/v3/directory/room/{roomAlias}`
    async fn delete_alias(&self, session: &Session, alias: &RoomAliasId) -> Result<()>;

    /// Joins a room by id or alias and answers its id. Joining where one is already succeeds.
    ///
    /// A room that one is not invited to and that is not public is `Forbidden`, one that one is banned from is
    /// `BadState` or `Forbidden`, an unknown room or alias is `NotFound`.
    /// `via` names servers to go through; it is only needed for rooms this server is not in yet.
    ///
    /// `POST /_matrix/client/v3/join/{roomIdOrAlias}`
    async fn join_room(
        &self,
        session: &Session,
        room: &RoomOrAliasId,
        via: &[OwnedServerName],
    ) -> Result<OwnedRoomId>;

    /// Invites a user. Inviting again succeeds; so does inviting a local user who does not exist.
    ///
    /// Inviting someone who is in the room is `Forbidden`, inviting someone who is banned `BadState` or `Forbidden`.
    ///
    /// `POST /_matrix/client/v3/rooms/{roomId}/invite`
    async fn invite_user<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&'a str>,
    ) -> Result<()>;

    /// Leaves a room or declines an invitation. Leaving again succeeds; where one never was it is `Forbidden`.
    ///
    /// `POST /_matrix/client/v3/rooms/{roomId}/leave`
    async fn leave_room<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        reason: Option<&'a str>,
    ) -> Result<()>;

    /// Removes a member or takes an invitation back. Someone who is neither is `Forbidden`, as is lack of power.
    ///
    /// `POST /_matrix/client/v3/rooms/{roomId}/kick`
    async fn kick_user<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&'a str>,
    ) -> Result<()>;

    /// Removes a user, member or not, and keeps the user out. Banning again succeeds. Lack of power is `Forbidden`.
    ///
    /// `POST /_matrix/client/v3/rooms/{roomId}/ban`
    async fn ban_user<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&'a str>,
    ) -> Result<()>;

    /// Lifts a ban; the user may be invited again. Lack of power is `Forbidden`.
    ///
    /// `POST /_matrix/client/v3/rooms/{roomId}/unban`
    async fn unban_user<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&'a str>,
    ) -> Result<()>;

    /// Forgets a room one has left: it no longer shows up anywhere. An error while one is in it.
    ///
    /// `POST /_matrix/client/v3/rooms/{roomId}/forget`
    async fn forget_room(&self, session: &Session, room_id: &RoomId) -> Result<()>;

    /// The rooms that the session's user has joined, in no order. Invitations are not among them.
    ///
    /// `GET /_matrix/client/v3/joined_rooms`
    async fn list_joined_rooms(&self, session: &Session) -> Result<Vec<OwnedRoomId>>;

    /// Everyone who has to do with a room, by membership, in no order.
    ///
    /// `GET /_matrix/client/v3/rooms/{roomId}/members`
    async fn list_members(
        &self,
        session: &Session,
        room_id: &RoomId,
        filter: &MemberFilter,
    ) -> Result<Vec<Member>>;

    /// Everyone who has joined a room, with the name and avatar there. Cheaper than
    /// [`list_members`](Self::list_members).
    ///
    /// `GET /_matrix/client/v3/rooms/{roomId}/joined_members`
    async fn list_joined_members(
        &self,
        session: &Session,
        room_id: &RoomId,
    ) -> Result<BTreeMap<OwnedUserId, Profile>>;

    /// The content of a state event. `NotFound` if there is none; content that was emptied is `{}`.
    ///
    /// `GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
    async fn get_state_event(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Value>;

    /// All state events of a room, in no order.
    ///
    /// `GET /_matrix/client/v3/rooms/{roomId}/state`
    async fn get_room_state(&self, session: &Session, room_id: &RoomId) -> Result<Vec<Event>>;

    /// Sets a state event and answers its id.
    ///
    /// Setting the content it already has makes no new event and answers the id of the present one. Lack of power is
    /// `Forbidden`. An `m.room.canonical_alias` that does not point to this room is `BadAlias`. A child is removed
    /// from a space by setting its `m.space.child` to `{}`.
    ///
    /// `PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
    async fn set_state_event(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_type: &StateEventType,
        state_key: &str,
        content: &Value,
    ) -> Result<OwnedEventId>;

    /// One page of a space's rooms, depth first, the space itself being the first.
    ///
    /// Rooms that the session's user may not see are left out, though they stay among their parent's
    /// [`children`](crate::SpaceRoom::children). A removed child is in neither.
    ///
    /// `GET /_matrix/client/v1/rooms/{roomId}/hierarchy`
    async fn list_space_children(
        &self,
        session: &Session,
        room_id: &RoomId,
        request: &HierarchyRequest,
    ) -> Result<HierarchyPage>;

    // ---- events ----

    /// Sends a message-like event and answers its id.
    ///
    /// A transaction id that was used before answers the first event's id and sends nothing, even with other content.
    /// Its scope is the device and the room; **for an application service it is the application service and the
    /// room**, whoever it speaks for, so transaction ids must be unique among all its users. Application services
    /// that assert no device lose this memory when the server restarts.
    ///
    /// More than 65,535 bytes for the whole event is `TooLarge`. Numbers with a fraction are `BadJson`. An
    /// `m.room.message` without `msgtype` and `body` is an error (status 400), as is a thread that starts from an event
    /// which has a relation itself. The same reaction twice is `DuplicateAnnotation`. Not being in the room is
    /// `Forbidden`.
    ///
    /// `PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}`
    async fn send_message_event(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_type: &MessageLikeEventType,
        transaction_id: &TransactionId,
        content: &Value,
    ) -> Result<OwnedEventId>;

    /// Takes an event back and answers the id of the redaction.
    ///
    /// Everyone may redact what they sent; what others sent takes power, or is `Forbidden`. The event stays, without
    /// its content.
    ///
    /// `PUT /_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}`
    async fn redact_event<'a>(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_id: &EventId,
        transaction_id: &TransactionId,
        reason: Option<&'a str>,
    ) -> Result<OwnedEventId>;

    /// One event. `NotFound` if there is none in this room. An edited event has its original content, and the
    /// latest edit in `unsigned.m.relations.m.replace`.
    ///
    /// `GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}`
    async fn get_event(&self, session: &Session, room_id: &RoomId, event_id: &EventId) -> Result<Event>;

    /// One page of a room's history. The last page has no `end`; an empty page with an `end` is possible, go on.
    ///
    /// `GET /_matrix/client/v3/rooms/{roomId}/messages`
    async fn list_messages(
        &self,
        session: &Session,
        room_id: &RoomId,
        request: &MessagesRequest,
    ) -> Result<MessagesPage>;

    /// Says that the session's user is typing, for this long at most, or (`None`) no longer.
    ///
    /// `PUT /_matrix/client/v3/rooms/{roomId}/typing/{userId}`
    async fn set_typing(
        &self,
        session: &Session,
        room_id: &RoomId,
        typing_for: Option<Duration>,
    ) -> Result<()>;

    /// Says that the session's user has read everything up to an event. An unknown event is no error.
    ///
    /// `POST /_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}`
    async fn send_receipt(
        &self,
        session: &Session,
        room_id: &RoomId,
        event_id: &EventId,
        receipt_type: &ReceiptType,
        thread: &ReceiptThread,
    ) -> Result<()>;

    /// What is new since an earlier answer, waiting up to [`SyncRequest::timeout`] for it.
    ///
    /// Nothing new within that time is an answer without rooms, not an error. Each event shows up in exactly one
    /// answer of a chain of `since` tokens, unless the timeline is `limited`. The tokens outlive restarts of
    /// the server; one that it does not know is an error with status 400. One's own events are among the news;
    /// those sent from the same device carry their transaction id. Events that are not well-formed are set aside in
    /// [`SyncResponse::skipped`].
    ///
    /// An application service's sender may be refused (Synapse: status 500), its other users are not.
    ///
    /// `GET /_matrix/client/v3/sync`
    async fn sync(&self, session: &Session, request: &SyncRequest) -> Result<SyncResponse>;

    // ---- media ----

    /// Uploads a file and answers its address. Each upload has a new address.
    ///
    /// What is larger than [`media_config`](Self::media_config) allows is `TooLarge` or, as servers close the
    /// connection, `Interrupted` or `Connect`: ask for the limit first.
    ///
    /// `POST /_matrix/media/v3/upload`
    async fn upload_media(&self, session: &Session, upload: &Upload) -> Result<OwnedMxcUri>;

    /// Downloads a file. `NotFound` if there is none, `BodyTooLarge` if it is larger than
    /// [`Download::max_bytes`]; then nothing beyond that is read.
    ///
    /// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}`
    async fn download_media(&self, session: &Session, download: &Download) -> Result<Media>;

    /// The limits of the media repository.
    ///
    /// `GET /_matrix/client/v1/media/config`
    async fn media_config(&self, session: &Session) -> Result<MediaConfig>;

    // ---- application service ----

    /// Asks the homeserver to reach the application service, and answers how long that took. Makes the homeserver
    /// deliver at once what it has queued.
    ///
    /// `AppservicePing` if it cannot reach it or gets no success; an error with the code `M_URL_NOT_SET` if the
    /// registration has no URL; `Forbidden` if the session is not one of that application service.
    ///
    /// `POST /_matrix/client/v1/appservice/{appserviceId}/ping`
    async fn ping_appservice<'a>(
        &self,
        session: &Session,
        appservice_id: &str,
        transaction_id: Option<&'a TransactionId>,
    ) -> Result<Duration>;
}
