//! The contract of [`LettaApi`](crate::LettaApi), as cases. Start it with
//! [`letta_conformance!`](crate::letta_conformance).
//!
//! The truth is the real server: where a case and a real Letta differ, the case is wrong.

mod agents;
mod approvals;
mod conversations;
mod history;
mod resume;
mod runs;
mod turns;

use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt, future::BoxFuture};

use super::{CaseError, CaseResult, Skip, Subject};

/// A case under its name.
type Case = for<'a> fn(&'a Subject) -> BoxFuture<'a, CaseResult>;

/// Names every case once: for the table here, and for the tests of whoever runs the suite.
#[doc(hidden)]
#[macro_export]
macro_rules! __letta_cases {
    ($apply:ident $(, $argument:tt)*) => {
        $crate::$apply! {
            $($argument,)*
            agents: [
                the_server_says_how_it_is,
                a_new_agent_is_found_again,
                an_agent_that_does_not_exist_is_not_found,
                an_id_that_can_not_be_one_is_refused,
                tags_are_left_out_unless_asked_for,
                names_need_not_be_unique,
                a_name_no_file_could_have_is_refused,
                a_name_in_any_language_is_accepted,
                renaming_accepts_any_text,
                an_update_keeps_what_it_does_not_name,
                an_update_can_be_repeated,
                a_model_or_tool_that_does_not_exist_is_refused,
                a_deleted_agent_is_gone,
                deleting_twice_finds_nothing_the_second_time,
                pages_hold_every_agent_once_oldest_first,
                pages_hold_every_agent_once_newest_first,
                a_full_last_page_is_followed_by_an_empty_one,
                a_limit_outside_the_range_counts_as_the_nearest,
                a_cursor_whose_agent_was_deleted_restarts_the_listing,
                the_agent_changed_last_comes_first_by_time_of_change,
                a_message_is_a_change_too,
                what_changed_since_a_mark_is_listed_newest_change_first,
                nothing_changed_since_the_newest_change_costs_one_request,
                every_page_of_what_changed_is_read,
                an_agent_that_changes_while_it_is_the_cursor_restarts_the_listing,
                hidden_agents_are_listed_only_when_asked_for,
                a_name_filter_is_exact_and_case_sensitive,
                a_text_filter_finds_parts_of_names_in_any_case,
                a_tag_filter_takes_any_or_all,
                the_count_is_of_those_a_listing_has,
                a_rule_for_a_tool_needs_its_agent_but_not_its_tool,
            ],
            conversations: [
                a_conversation_is_found_again,
                conversations_are_listed_newest_first_in_pages,
                the_default_conversation_is_not_listed,
                a_conversation_that_does_not_exist_is_not_found,
                a_conversation_needs_its_agent,
                conversations_do_not_know_of_each_other,
                a_busy_conversation_takes_no_second_turn,
            ],
            turns: [
                a_turn_begins_with_started_and_ends_with_ended,
                a_message_is_answered,
                pieces_add_up_to_the_whole_answer,
                a_thought_comes_before_its_answer,
                a_tool_is_called_and_returns,
                a_tool_that_does_not_exist_fails,
                the_arguments_of_a_call_are_complete_with_and_without_pieces,
                the_cost_is_reported,
                an_empty_answer_is_no_failure,
                a_cut_answer_looks_like_a_success,
                a_failing_provider_is_told_apart_by_kind,
                a_context_that_is_too_long_is_shortened_or_reported,
                a_failed_turn_leaves_no_message_behind,
                a_message_to_nobody_is_not_sent,
                an_empty_message_is_refused,
                a_turn_ends_at_its_limit_of_steps,
                an_image_reaches_the_model,
                a_turn_goes_on_when_nobody_reads_it,
                the_same_otid_runs_again,
                an_agent_remembers_what_was_said,
                a_cancelled_turn_says_so,
                cancelling_nothing_is_no_failure,
            ],
            resume: [
                joining_again_yields_exactly_the_rest,
                a_running_turn_can_be_joined_again,
                a_turn_that_is_not_resumable_carries_no_tokens,
                a_token_that_is_none_is_refused,
                a_turn_nobody_knows_can_not_be_joined,
            ],
            approvals: [
                a_call_that_needs_approval_stops_the_turn,
                a_pending_approval_is_shown_when_asked_for,
                an_approved_call_runs,
                a_denied_call_fails_with_the_reason,
                a_message_has_to_wait_for_the_decision,
                a_decision_on_another_call_is_refused,
                a_decision_without_a_question_is_refused,
                cancelling_clears_a_pending_approval,
                cancelling_clears_it_after_a_refused_message_too,
                a_conversation_asks_and_goes_on_by_itself,
                a_rule_can_be_lifted,
                a_decision_is_part_of_the_history,
            ],
            history: [
                messages_come_oldest_first,
                the_senders_id_and_the_run_are_kept,
                a_thought_and_its_answer_share_an_id,
                calls_and_returns_are_kept,
                images_and_parts_are_kept,
                a_page_holds_the_newest,
                pages_lead_back_and_forth,
                an_agents_history_includes_its_conversations,
                an_empty_conversation_has_an_empty_history,
                a_history_that_does_not_exist_is_not_found,
            ],
            runs: [
                a_finished_run_says_how_it_ended,
                a_failed_run_says_why,
                runs_are_listed_newest_first,
                only_running_runs_are_active,
                a_run_that_does_not_exist_is_not_found,
            ],
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __letta_case_table {
    ($($group:ident: [$($case:ident,)*],)*) => {
        const CASES: &[(&str, Case)] = &[
            $($((stringify!($case), |subject| Box::pin($group::$case(subject))),)*)*
        ];
    };
}

crate::__letta_cases!(__letta_case_table);

/// Runs the conformance suite on what a factory makes: `async fn() -> Result<Subject, Skip>`, called once per case.
///
/// Put each subject into a module of its own: the tests are named after the cases. With `, paused` behind the factory
/// the cases run on paused tokio time (which needs tokio's `test-util`): for fakes only, never where a socket is.
#[macro_export]
macro_rules! letta_conformance {
    ($factory:ident) => {
        $crate::__letta_cases!(__letta_case_tests, $factory, (::tokio::test));
    };
    ($factory:ident, paused) => {
        $crate::__letta_cases!(
            __letta_case_tests,
            $factory,
            (::tokio::test(start_paused = true))
        );
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __letta_case_tests {
    ($factory:ident, ($attribute:meta), $($group:ident: [$($case:ident,)*],)*) => {
        $(mod $group {
            use super::*;

            $(#[$attribute]
            async fn $case() -> ::std::result::Result<(), $crate::testing::CaseError> {
                $crate::testing::conformance::run(stringify!($case), $factory).await
            })*
        })*
    };
}

/// The names of all cases.
pub fn cases() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|(name, _)| *name)
}

/// Runs one case on a subject made for it, and deletes what the case made whether it passes or not.
///
/// # Errors
/// What the case finds wrong. A case that panics panics here.
#[expect(
    clippy::print_stderr,
    reason = "a skipped test says why; the harness shows it on request"
)]
pub async fn run<F>(name: &str, factory: impl FnOnce() -> F) -> CaseResult
where
    F: Future<Output = Result<Subject, Skip>>,
{
    let Some((_, case)) = CASES.iter().find(|(known, _)| *known == name) else {
        return Err(CaseError::new(format!("there is no case {name}")));
    };
    let subject = match factory().await {
        Ok(subject) => subject,
        Err(Skip(reason)) => {
            eprintln!("skipped {name}: {reason}");
            return Ok(());
        }
    };
    let outcome = AssertUnwindSafe(case(&subject)).catch_unwind().await;
    let cleaned = subject.clean_up().await;
    match outcome {
        Err(panic) => std::panic::resume_unwind(panic),
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) => Ok(cleaned?),
    }
}

/// Ends a case that needs what the subject can not do.
macro_rules! needs {
    ($subject:expr, $ability:ident) => {
        if let Some(why) = $subject.lacks($crate::testing::Ability::$ability) {
            $crate::testing::conformance::say_skipped($subject, why);
            return Ok(());
        }
    };
}
use needs;

#[expect(
    clippy::print_stderr,
    reason = "a skipped test says why; the harness shows it on request"
)]
fn say_skipped(subject: &Subject, why: &str) {
    eprintln!("skipped on {}: {why}", subject.name());
}
