//! The fourteen tests that the first generation of this system named, and what they never asserted: which calls were
//! made, that users and rooms exist on the server, what is written down, and how the invitations stand.
//!
//! They run on the fakes, and again on real servers when there are any. Each keeps to agents, a space and a person's
//! invitations of its own, because on real servers it is not alone.

mod agents;
mod messages;
mod stage;

/// Scenarios as tests: on fakes, or where there are real servers, on a stage that is made so.
macro_rules! scenarios {
    (fakes $module:ident, $stage:ident: $($scenario:ident in $topic:ident),* $(,)?) => {
        mod $module {
            $(
                #[tokio::test(start_paused = true)]
                async fn $scenario() {
                    let stage = super::stage::Stage::$stage(stringify!($scenario)).await;
                    super::$topic::$scenario(&stage).await;
                }
            )*
        }
    };
    (real $module:ident, $stage:ident: $($scenario:ident in $topic:ident),* $(,)?) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $scenario() {
                    if !crate::support::real_services() {
                        return;
                    }
                    let stage = super::stage::Stage::$stage(stringify!($scenario)).await;
                    super::$topic::$scenario(&stage).await;
                    stage.clear().await;
                }
            )*
        }
    };
}

/// The same scenarios on both, with an application service and without one.
macro_rules! fourteen {
    ($($scenario:ident in $topic:ident),* $(,)?) => {
        scenarios!(fakes fakes, on_fakes: $($scenario in $topic,)*);
        scenarios!(fakes fakes_without_appservice, on_fakes_without_appservice: $($scenario in $topic,)*);
        scenarios!(real real_fourteen, on_real_servers: $($scenario in $topic,)*);
        scenarios!(
            real real_fourteen_without_appservice, on_real_servers_without_appservice: $($scenario in $topic,)*
        );
    };
}

fourteen! {
        discover_and_create_agents in agents,
        sync_agents_to_users in agents,
        create_room_for_agent in agents,
        room_persistence_across_restarts in agents,
        detect_agent_name_change in agents,
        username_stability_on_rename in agents,
        invite_admin_to_agent_room in agents,
        invitation_status_tracking in agents,
        concurrent_agent_creation in agents,
        concurrent_room_creation in agents,
        partial_agent_sync_failure in agents,
        retry_on_transient_failure in agents,
        route_message_to_correct_agent in messages,
        multiple_agents_concurrent_messages in messages,
}
