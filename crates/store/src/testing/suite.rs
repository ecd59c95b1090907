//! The cases as tests.

/// Turns every case into a named test. Takes an expression: a future of an `Arc` of a fresh [`Store`](crate::Store).
///
/// Where a store must be cleared away, or may not be there at all, it takes `around` and the path of a function that
/// calls its argument, an `AsyncFnOnce` of such an `Arc`.
#[macro_export]
macro_rules! store_conformance {
    (around $around:path) => {
        $crate::store_conformance!(@all @around ($around));
    };
    ($fresh:expr) => {
        $crate::store_conformance!(@all @fresh ($fresh));
    };
    (@all @$how:ident $what:tt) => {
        $crate::store_conformance!(@cases @$how $what;
            an_empty_store_has_nothing,
            a_binding_comes_back_as_it_was_written,
            bindings_are_listed_by_agent_id,
            a_second_write_replaces_the_first,
            a_user_of_another_agent_is_refused,
            a_room_of_another_agent_is_refused,
            many_agents_may_have_no_room,
            a_room_that_was_given_up_is_free,
            a_deleted_binding_is_gone,
            deleting_an_unknown_binding_does_nothing,
            a_deleted_binding_frees_its_user_and_room,
            the_space_is_one_record,
            progress_is_one_record,
            concurrent_writes_are_all_kept,
            one_of_many_agents_gets_a_user,
            every_lifecycle_comes_back,
            every_history_comes_back,
            every_invitation_comes_back,
            each_fact_of_a_binding_comes_back_alone,
            each_fact_of_the_space_comes_back_alone,
            a_lease_that_was_never_granted_is_not_there,
            a_granted_lease_says_whose_it_is_and_until_when,
            a_held_lease_is_refused_to_others,
            a_lease_that_is_over_goes_to_another,
            the_end_of_a_lease_is_compared_as_a_time,
            its_holder_gets_a_lease_anew,
            leases_of_other_names_are_apart,
            a_renewed_lease_lives_longer,
            a_lease_that_is_over_can_be_renewed,
            a_lease_that_was_granted_anew_is_not_renewed,
            a_lease_that_was_given_back_is_free,
            giving_back_a_lost_lease_does_nothing,
            one_of_many_gets_a_lease,
            concurrent_grants_have_different_tokens,
            writes_under_another_holders_lease_are_refused,
            writes_of_a_former_self_are_refused,
            writes_under_an_invented_lease_are_refused,
            writes_under_a_lease_that_nobody_took_are_kept,
            a_grant_ends_all_writes_of_the_former_holder,
            an_unknown_account_is_not_there,
            an_account_comes_back_as_it_was_written,
            a_deleted_account_is_gone,
            deleting_an_unknown_account_does_nothing,
            an_empty_inbox_has_nothing,
            an_event_comes_back_as_it_came_in,
            an_intake_of_nothing_does_nothing,
            an_event_comes_in_once,
            an_event_that_comes_twice_at_once_comes_in_once,
            new_events_among_known_ones_come_in,
            an_event_is_new_to_one_of_many,
            concurrent_intakes_are_all_kept,
            the_order_of_arrival_is_kept,
            the_oldest_undecided_events_are_listed,
            a_cursor_moves_with_its_events,
            cursors_of_other_sources_are_apart,
            what_makes_no_sense_is_set_aside,
            a_decision_comes_with_its_deliveries,
            a_decision_may_owe_nothing,
            deliveries_that_are_there_are_answered_unchanged,
            another_attempt_is_another_delivery,
            a_later_decision_replaces_the_verdict,
            nothing_is_decided_about_an_unknown_event,
            a_decided_event_that_comes_again_stays_decided,
            concurrent_decisions_owe_once,
            a_big_delivery_comes_back,
            a_grant_ends_all_decisions_of_the_former_holder,
            nothing_is_owed_at_first,
            open_deliveries_are_listed_in_their_order,
            a_delivery_is_replaced_in_what_changes,
            an_unknown_delivery_is_not_written,
            every_record_comes_back,
            records_are_replaced_by_kind_and_key,
            a_removed_record_is_gone,
            records_are_listed_by_key,
            a_decided_event_is_forgotten_with_its_deliveries,
            an_undecided_event_is_not_forgotten,
            an_event_with_an_open_delivery_is_not_forgotten,
            what_came_in_later_is_not_forgotten,
            what_was_set_aside_is_forgotten_alone,
            no_open_delivery_is_left_without_its_event,
        );
    };
    (@cases @$how:ident $what:tt; $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::store_conformance!(@run @$how $what, $crate::testing::$case);
            }
        )*
    };
    (@run @fresh ($fresh:expr), $case:path) => {
        $case($fresh.await).await
    };
    (@run @around ($around:path), $case:path) => {
        $around(async |store| $case(store).await).await
    };
}
