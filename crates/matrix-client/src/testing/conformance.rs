//! One suite for every implementation of [`MatrixApi`]: a case per sentence of its contract, and per fact that was
//! measured on a real Synapse.
//!
//! The suite runs on a [`Subject`]; [`matrix_conformance!`](crate::matrix_conformance) makes a named test of each case:
//!
//! ```
//! mod on_the_fake {
//!     use std::sync::Arc;
//!
//!     use matrix_client::{
//!         fake::FakeMatrix,
//!         testing::{conformance::{CaseResult, Facts, Subject}, data},
//!     };
//!
//!     async fn subject() -> CaseResult<Subject> {
//!         let server = FakeMatrix::new("matrix.test");
//!         Ok(Subject::new(Arc::new(server), Facts::new(data::server_name())))
//!     }
//!
//!     matrix_client::matrix_conformance!(subject);
//! }
//! # fn main() {}
//! ```
//!
//! A case that cannot run on a subject (no application service, no administration API) says so on standard error and
//! passes. Cases make users, rooms and aliases of their own with names that were never used before, so they may run at the same
//! time, on a server that others use as well, and any number of times.

use std::{
    any::Any,
    collections::BTreeSet,
    fmt::{self, Debug},
    io::Write,
    panic::Location,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ruma::{
    OwnedRoomAliasId, OwnedRoomId, OwnedServerName, OwnedTransactionId, RoomAliasId, RoomId, RoomVersionId,
    UserId,
};
use secrecy::SecretString;

use crate::{
    Appservice, MatrixApi, MatrixApiExt, MatrixError, MatrixErrorKind, NewRoom, Registration, RoomPreset,
    Session, SynapseAdminApi, admin::SharedSecretRegistration,
};

mod accounts;
mod admin;
mod aliases;
mod appservice;
mod events;
mod media;
mod membership;
mod relations;
mod rooms;
mod server;
mod sessions;
mod spaces;
mod state;
mod subject;
mod sync;

#[cfg(feature = "http")]
pub use subject::real_server;
pub use subject::{Facts, OpenTo, Subject};

/// Why a case did not pass.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// It cannot run on this subject.
    Skipped(String),
    /// It did not hold.
    Failed {
        /// What was found instead.
        what: String,
        /// Where.
        at: &'static Location<'static>,
    },
}

/// What a case, and the making of a [`Subject`], answers.
pub type CaseResult<T = ()> = Result<T, Failure>;

impl Failure {
    /// The reason for not running.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self::Skipped(reason.into())
    }

    /// What went wrong, here.
    #[track_caller]
    pub fn failed(what: impl fmt::Display) -> Self {
        Self::Failed {
            what: what.to_string(),
            at: Location::caller(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(reason) => write!(f, "skipped: {reason}"),
            Self::Failed { what, at } => write!(f, "{what} ({at})"),
        }
    }
}

impl From<MatrixError> for Failure {
    #[track_caller]
    fn from(error: MatrixError) -> Self {
        Self::Failed {
            what: format!("{error}\n{error:#?}"),
            at: Location::caller(),
        }
    }
}

type CaseFuture<'a> = Pin<Box<dyn Future<Output = CaseResult> + Send + 'a>>;

/// The cases by name. Both the tests and the table come from this list; a case that is missing in it is dead code.
#[doc(hidden)]
#[macro_export]
macro_rules! __matrix_conformance_cases {
    ($then:ident $($context:tt)*) => {
        $crate::$then! { [$($context)*]
            accounts: [
                registration_makes_a_user_with_a_session,
                registration_without_login_makes_only_the_user,
                a_name_that_exists_is_in_use,
                the_server_may_lower_case_a_name,
                the_server_chooses_a_name_when_none_is_wanted,
                a_registration_token_lets_in_and_is_checked,
                closed_registration_is_forbidden,
                availability_tells_free_taken_reserved_and_impossible_names,
                a_display_name_is_the_localpart_until_it_is_set,
                a_display_name_can_be_set_changed_and_removed,
                a_display_name_reaches_the_rooms_and_the_last_one_wins,
                a_display_name_beyond_256_characters_is_refused,
                an_avatar_can_be_set_to_anything_and_removed,
                the_profile_of_nobody_is_not_found,
            ],
            sessions: [
                a_password_opens_a_session_by_id_and_by_localpart,
                each_login_makes_a_device_of_its_own,
                logging_in_on_a_device_keeps_its_transaction_ids,
                a_wrong_password_and_an_unknown_user_are_the_same,
                logout_ends_the_session,
                a_token_that_never_was_is_unauthorized,
                an_empty_token_is_a_missing_token,
            ],
            appservice: [
                an_appservice_registers_users_of_its_namespace,
                an_appservice_cannot_register_outside_its_namespace,
                nobody_else_can_register_in_the_namespace,
                localparts_of_appservice_users_are_not_checked,
                a_wrong_appservice_token_is_unauthorized,
                the_sender_exists_without_being_registered,
                acting_for_a_user_outside_the_namespace_is_forbidden,
                acting_for_an_unregistered_user_is_forbidden,
                an_appservice_user_without_a_password_cannot_log_in_with_one,
                an_appservice_login_makes_a_session_of_the_users_own,
                an_appservice_login_of_nobody_is_not_found,
                an_asserted_device_must_exist,
                an_appservice_token_cannot_be_logged_out,
                a_transaction_id_is_shared_by_all_users_of_an_appservice,
                a_ping_reaches_the_appservice_or_says_that_it_does_not,
                only_the_appservice_itself_may_ask_for_a_ping,
                a_sync_of_an_appservice_user_works_and_the_senders_may_not,
            ],
            aliases: [
                an_alias_can_be_made_resolved_and_deleted,
                an_alias_that_exists_is_a_conflict,
                an_unknown_alias_is_not_found,
                an_alias_of_an_appservices_namespace_is_exclusive,
                an_alias_may_hold_any_character,
            ],
            rooms: [
                a_new_room_has_its_creator_as_member,
                a_new_room_has_what_was_asked_for,
                a_taken_alias_is_room_in_use_and_makes_no_room,
                of_two_rooms_with_one_alias_at_the_same_time_one_is_made,
                an_alias_localpart_must_be_one,
                an_alias_of_a_namespace_is_exclusive_in_a_new_room_too,
                an_unknown_room_version_is_unsupported,
                an_unknown_preset_is_refused,
                inviting_oneself_is_forbidden,
                inviting_a_local_user_who_does_not_exist_works,
                the_default_version_is_the_one_of_the_server,
                in_version_11_ids_have_a_server_and_creators_a_power_level,
                in_version_12_ids_have_no_server_and_creators_no_power_level,
                in_version_12_naming_the_creator_in_power_levels_is_refused,
                a_trusted_private_chat_makes_every_invited_one_a_peer,
                presets_set_the_join_rule,
                power_levels_can_be_overridden,
                a_space_is_a_room_of_its_own_type,
                fields_of_the_create_event_can_be_added,
                an_invitation_to_a_direct_chat_says_so,
            ],
            membership: [
                a_public_room_can_be_joined_by_id_and_by_alias,
                joining_again_succeeds,
                joining_uninvited_is_forbidden,
                joining_what_does_not_exist_is_not_found,
                an_invited_user_can_join,
                inviting_again_succeeds_and_inviting_a_member_is_forbidden,
                inviting_without_being_in_the_room_is_forbidden,
                leaving_again_succeeds_and_leaving_what_one_never_was_in_is_forbidden,
                a_member_can_be_kicked_once,
                an_invitation_can_be_taken_back,
                kicking_takes_power,
                in_version_12_nobody_can_kick_a_creator,
                a_banned_user_stays_out_until_unbanned,
                banning_takes_power_but_no_membership,
                a_room_can_be_forgotten_only_after_leaving,
                members_are_listed_by_membership,
                joined_members_have_a_name_and_an_avatar,
                invitations_are_not_joined_rooms,
                a_reason_is_told,
            ],
            state: [
                state_can_be_set_and_read,
                setting_the_same_state_again_makes_no_new_event,
                absent_state_is_not_found_and_emptied_state_is_empty,
                whoever_is_not_in_the_room_may_not_read_its_state,
                an_unknown_room_is_forbidden_like_any_other,
                setting_state_takes_power,
                content_that_is_not_an_object_is_bad_json,
                a_canonical_alias_must_point_to_the_room,
                a_state_key_may_hold_any_character,
                the_room_state_lists_every_event,
                typed_state_goes_through_and_misshapen_state_is_named,
            ],
            spaces: [
                a_child_shows_up_in_the_hierarchy_and_can_be_removed,
                a_parent_can_be_named,
                the_hierarchy_comes_in_pages,
                the_depth_can_be_limited,
                only_suggested_children_can_be_asked_for,
                a_room_that_one_may_not_see_is_only_named_by_its_parent,
                the_hierarchy_of_a_space_one_is_not_in_is_forbidden,
            ],
            events: [
                an_event_can_be_sent_and_read,
                the_same_transaction_answers_the_first_event,
                another_device_has_transactions_of_its_own,
                six_sends_of_one_transaction_at_the_same_time_are_one_event,
                a_transaction_id_may_hold_any_character,
                an_event_may_be_large_but_not_too_large,
                numbers_with_a_fraction_are_bad_json,
                a_message_needs_a_type_and_a_body,
                sending_without_being_in_the_room_is_forbidden,
                an_unknown_event_is_not_found,
                a_redacted_event_has_lost_its_content,
                redacting_what_others_sent_takes_power,
                redacting_an_unknown_event_is_no_error,
                history_runs_backward_in_pages_until_it_ends,
                history_runs_forward_from_the_beginning,
                history_can_be_filtered,
                typing_is_seen_by_others_and_ends,
                a_receipt_is_seen_by_others,
                a_receipt_for_an_unknown_event_is_no_error,
            ],
            relations: [
                an_edited_event_keeps_its_content_and_names_the_edit,
                an_edit_of_somebody_elses_event_is_delivered_but_not_applied,
                the_same_reaction_twice_is_a_duplicate,
                a_thread_cannot_start_from_an_event_with_a_relation,
                a_thread_needs_an_event_that_exists,
                messages_mention_whom_they_name,
            ],
            sync: [
                an_initial_sync_shows_the_rooms_and_their_state,
                nothing_new_is_an_empty_answer_after_the_timeout,
                a_message_wakes_a_waiting_sync,
                each_event_shows_up_once_in_a_chain,
                ones_own_events_carry_their_transaction_on_the_same_device_only,
                an_invitation_shows_up_with_its_state,
                a_room_that_was_left_shows_up_as_left,
                a_limited_timeline_can_be_completed_from_history,
                a_filter_leaves_things_out,
                an_unknown_filter_is_an_invalid_parameter,
                an_unknown_token_is_refused,
                full_state_repeats_what_is_known,
                a_logout_ends_a_waiting_sync,
            ],
            media: [
                a_file_can_be_uploaded_and_downloaded_by_others,
                each_upload_has_an_address_of_its_own,
                an_unknown_file_is_not_found,
                a_file_larger_than_wanted_is_not_taken,
                downloading_needs_a_token,
                an_upload_beyond_the_limit_fails,
            ],
            admin: [
                the_shared_secret_registers_users,
                a_wrong_shared_secret_is_forbidden,
                a_user_is_known_or_not_found,
                administration_is_forbidden_for_others,
                administrators_have_no_right_in_rooms,
                a_rate_limit_can_be_lifted,
                rooms_are_listed_in_pages_and_found_by_name,
                a_room_can_be_deleted,
                a_user_can_be_made_admin_of_a_room,
            ],
            server: [
                the_versions_include_one_that_we_speak,
                the_login_flows_include_the_ones_we_use,
            ],
        }
    };
}

/// Makes a test of each case of the suite, named `<topic>::<case>`.
///
/// Takes the path of an `async fn() -> CaseResult<Subject>`. The calling crate needs tokio with `macros` and `rt`.
#[macro_export]
macro_rules! matrix_conformance {
    ($subject:path) => {
        $crate::__matrix_conformance_cases! { __matrix_conformance_tests $subject }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __matrix_conformance_tests {
    ([$subject:path] $($topic:ident: [$($case:ident),* $(,)?],)*) => {
        $($crate::__matrix_conformance_topic! { [$subject] $topic: [$($case),*] })*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __matrix_conformance_topic {
    ([$subject:path] $topic:ident: [$($case:ident),*]) => {
        mod $topic {
            #[allow(unused_imports, reason = "the subject may be named from here or from the crate")]
            use super::*;
            $(
                #[tokio::test]
                async fn $case() {
                    let name = concat!(stringify!($topic), "::", stringify!($case));
                    $crate::testing::conformance::run(name, $subject().await).await;
                }
            )*
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __matrix_conformance_table {
    ([] $($topic:ident: [$($case:ident),* $(,)?],)*) => {
        /// Every case of the suite.
        static CASES: &[(&str, for<'a> fn(&'a Subject) -> CaseFuture<'a>)] = &[
            $($((concat!(stringify!($topic), "::", stringify!($case)), |t| Box::pin($topic::$case(t))),)*)*
        ];
    };
}

crate::__matrix_conformance_cases! { __matrix_conformance_table }

/// The names of all cases.
pub fn case_names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|(name, _)| *name)
}

/// Runs one case by name.
///
/// # Panics
/// When the case does not hold, when there is none of this name, or when the subject could not be made.
pub async fn run(name: &str, subject: CaseResult<Subject>) {
    let outcome = match subject {
        Ok(subject) => {
            let case = CASES
                .iter()
                .find(|(case, _)| *case == name)
                .map(|(_, case)| *case);
            let Some(case) = case else {
                panic!("there is no case {name}")
            };
            case(&subject).await
        }
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(()) => {}
        Err(Failure::Skipped(reason)) => say_skipped(name, &reason),
        Err(failure) => panic!("{name}: {failure}"),
    }
}

/// Tests' own output is only shown when they fail. This goes past it, once per reason, so that whoever runs the suite
/// sees what did not run.
fn say_skipped(name: &str, reason: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.insert(reason.to_owned()) {
        // In one piece, because many tests write at once. If nobody can read it, nobody misses it.
        let line = format!("skipped: {name}, and whatever else needs it: {reason}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

// ---- what the cases are written with ----

/// The call was refused in exactly this way.
#[track_caller]
fn refused<T: Debug>(
    result: crate::Result<T>,
    kind: &MatrixErrorKind,
    status: u16,
    errcode: &str,
) -> CaseResult<MatrixError> {
    let error = failed(result)?;
    let found = (error.kind(), error.status(), error.errcode());
    ensure(found == (kind, Some(status), Some(errcode)), || {
        format!("expected {kind:?} {status} {errcode}, found {error:?}")
    })?;
    // A refusal is an outcome: the caller need not look whether it happened all the same.
    ensure(!error.may_have_applied() || status >= 500, || {
        format!("the outcome is known: {error:?}")
    })?;
    ensure(error.call().is_some(), || {
        format!("the error does not name its call: {error:?}")
    })?;
    Ok(error)
}

/// The call failed.
#[track_caller]
fn failed<T: Debug>(result: crate::Result<T>) -> CaseResult<MatrixError> {
    match result {
        Err(error) => Ok(error),
        Ok(value) => fail(format!("expected an error, found {value:?}")),
    }
}

#[track_caller]
fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> CaseResult {
    if holds { Ok(()) } else { fail(otherwise()) }
}

#[track_caller]
#[expect(
    clippy::needless_pass_by_value,
    reason = "calls read better without a reference on each side"
)]
fn same<A: Debug + PartialEq<B>, B: Debug>(found: A, expected: B) -> CaseResult {
    ensure(found == expected, || {
        format!("expected {expected:?}, found {found:?}")
    })
}

/// What must be there.
#[track_caller]
fn some<T>(value: Option<T>, what: &str) -> CaseResult<T> {
    match value {
        Some(value) => Ok(value),
        None => fail(format!("there is no {what}")),
    }
}

#[track_caller]
fn fail<T>(what: impl Into<String>) -> CaseResult<T> {
    Err(Failure::Failed {
        what: what.into(),
        at: Location::caller(),
    })
}

/// Asks until it holds. For what servers do in the background.
async fn eventually<F, Fut>(what: &str, mut holds: F) -> CaseResult
where
    F: FnMut() -> Fut + Send,
    Fut: Future<Output = CaseResult<bool>> + Send,
{
    const PATIENCE: Duration = Duration::from_secs(20);
    const INTERVAL: Duration = Duration::from_millis(50);
    let mut waited = Duration::ZERO;
    while waited < PATIENCE {
        if holds().await? {
            return Ok(());
        }
        tokio::time::sleep(INTERVAL).await;
        waited += INTERVAL;
    }
    fail(format!("it never came true that {what}"))
}
