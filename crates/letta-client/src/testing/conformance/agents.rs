//! Health, agents, their listing.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};

use super::{
    super::{CaseError, CaseResult, result::Failure, subject::eventually},
    Subject, needs,
};
use crate::{
    Agent, AgentCursor, AgentId, AgentInclude, AgentOrder, AgentQuery, AgentUpdate, Direction, LettaApiExt,
    LettaErrorKind, NewAgent,
};

/// An id of the right form that nobody has.
const NOBODY: &str = "agent-00000000-0000-4000-8000-000000000000";

fn all() -> AgentInclude {
    AgentInclude {
        tags: true,
        pending_approval: true,
    }
}

/// Makes agents under one tag that nobody else has, and a query that lists nothing but them.
async fn tagged(subject: &Subject, count: usize) -> CaseResult<(Vec<Agent>, AgentQuery)> {
    let tag = subject.unique("tag");
    let mut agents = Vec::new();
    for _ in 0..count {
        let agent = NewAgent {
            tags: vec![tag.clone()],
            ..subject.new_agent(subject.unique("tagged"))
        };
        agents.push(subject.make(&agent).await?);
    }
    let query = AgentQuery {
        tags: vec![tag],
        ..AgentQuery::default()
    };
    Ok((agents, query))
}

fn ids(agents: &[Agent]) -> Vec<&str> {
    agents.iter().map(|agent| agent.id.as_str()).collect()
}

async fn listed(subject: &Subject, query: &AgentQuery) -> CaseResult<Vec<Agent>> {
    let listing = subject.api().list_all_agents(query).await?;
    assert!(listing.is_complete(), "{:?}", listing.completeness);
    Ok(listing.agents)
}

pub(super) async fn the_server_says_how_it_is(subject: &Subject) -> CaseResult {
    let health = subject.api().health().await?;
    assert!(
        health.version.starts_with(|c: char| c.is_ascii_digit()),
        "{health:?}"
    );
    assert_eq!(health.status, "ok");
    Ok(())
}

pub(super) async fn a_new_agent_is_found_again(subject: &Subject) -> CaseResult {
    let mut metadata = serde_json::Map::new();
    metadata.insert("made for".to_owned(), serde_json::json!({"cases": [1, 2]}));
    let new = NewAgent {
        description: Some("Answers in cases.".to_owned()),
        tags: vec![subject.unique("tag")],
        metadata,
        memory_blocks: vec![("human".to_owned(), "Nobody in particular.".to_owned())],
        ..subject.new_agent(subject.unique("found"))
    };
    let made = subject.make(&new).await?;
    assert_eq!(made.name, new.name);
    assert_ne!(made.id.as_str(), "");

    let found = subject.api().get_agent(&made.id, all()).await?;
    assert_eq!(found.id, made.id);
    assert_eq!(found.name, new.name);
    assert_eq!(found.description, new.description);
    assert_eq!(found.tags, new.tags);
    assert_eq!(found.metadata, new.metadata);
    assert!(found.agent_type.is_some(), "{found:?}");
    assert!(found.model.is_some(), "{found:?}");
    assert!(!found.hidden);
    assert!(found.created_at.is_some(), "{found:?}");
    assert!(found.updated_at >= found.created_at, "{found:?}");
    assert_eq!(found.pending_approval, None);
    Ok(())
}

pub(super) async fn an_agent_that_does_not_exist_is_not_found(subject: &Subject) -> CaseResult {
    let nobody = AgentId::new(NOBODY);
    let api = subject.api();
    let get = api.get_agent(&nobody, AgentInclude::default()).await.failure()?;
    let update = api
        .update_agent(&nobody, &AgentUpdate::rename("x"))
        .await
        .failure()?;
    let delete = api.delete_agent(&nobody).await.failure()?;
    for error in [get, update, delete] {
        assert_eq!(error.kind(), &LettaErrorKind::NotFound, "{error:?}");
        assert!(!error.is_retryable(), "{error:?}");
        assert!(!error.may_have_applied(), "{error:?}");
    }
    Ok(())
}

pub(super) async fn an_id_that_can_not_be_one_is_refused(subject: &Subject) -> CaseResult {
    needs!(subject, StrictIds);
    let api = subject.api();
    for id in [
        "nope",
        "agent-1",
        "",
        "..",
        "a/b",
        "agent-00000000-0000-4000-8000-00000000000Z",
    ] {
        let id = AgentId::new(id);
        for error in [
            api.get_agent(&id, AgentInclude::default()).await.failure()?,
            api.update_agent(&id, &AgentUpdate::rename("x")).await.failure()?,
            api.delete_agent(&id).await.failure()?,
        ] {
            assert!(
                // An id with a slash is another path, where there may be nothing at all.
                matches!(error.kind(), LettaErrorKind::InvalidRequest)
                    || id.as_str().contains('/') && matches!(error.kind(), LettaErrorKind::Unsupported),
                "{id:?}: {error:?}"
            );
        }
    }
    Ok(())
}

pub(super) async fn tags_are_left_out_unless_asked_for(subject: &Subject) -> CaseResult {
    let (agents, mut query) = tagged(subject, 1).await?;
    let id = &agents[0].id;
    let bare = subject.api().get_agent(id, AgentInclude::default()).await?;
    assert_eq!(bare.tags, Vec::<String>::new());
    let with_tags = subject.api().get_agent(id, all()).await?;
    assert_eq!(with_tags.tags, query.tags);

    assert_eq!(listed(subject, &query).await?[0].tags, Vec::<String>::new());
    query.include = all();
    assert_eq!(listed(subject, &query).await?[0].tags, query.tags);
    Ok(())
}

pub(super) async fn names_need_not_be_unique(subject: &Subject) -> CaseResult {
    let new = subject.new_agent(subject.unique("twin"));
    let one = subject.make(&new).await?;
    let two = subject.make(&new).await?;
    assert_eq!(one.name, two.name);
    assert_ne!(one.id, two.id);
    Ok(())
}

pub(super) async fn a_name_no_file_could_have_is_refused(subject: &Subject) -> CaseResult {
    for bad in [
        "/",
        ".",
        ":",
        "@",
        "&",
        "!",
        "(",
        ")",
        "<",
        ">",
        "\"",
        "\\",
        "|",
        "*",
        "?",
        ",",
        "\u{1f999}",
        "\t",
        "\n",
    ] {
        let name = format!("{}{bad}x", subject.unique("bad"));
        match subject.make(&subject.new_agent(&*name)).await {
            Ok(agent) => panic!("{name:?} was accepted: {agent:?}"),
            Err(error) => {
                assert_eq!(
                    error.kind(),
                    &LettaErrorKind::InvalidRequest,
                    "{name:?}: {error:?}"
                );
                assert!(!error.may_have_applied(), "{name:?}: {error:?}");
            }
        }
    }
    Ok(())
}

pub(super) async fn a_name_in_any_language_is_accepted(subject: &Subject) -> CaseResult {
    for name in [
        "",
        "Jörg's agent_1-b",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{5e2}\u{5d5}\u{5dc}\u{5dd}",
        "\u{65e5}\u{672c}\u{8a9e}",
        &"n".repeat(5000),
    ] {
        let made = subject.make(&subject.new_agent(name)).await?;
        assert_eq!(made.name, name);
        let found = subject.api().get_agent(&made.id, AgentInclude::default()).await?;
        assert_eq!(found.name, name);
    }
    Ok(())
}

pub(super) async fn renaming_accepts_any_text(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    for name in [
        "",
        " ",
        "a/b:c@d&e!f(g)h<i>",
        "Llama \u{1f999}\u{1f9d1}\u{200d}\u{1f680}",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd} (\u{202e}x\u{202c})",
        "tab\tline\nbell\u{7}escape\u{1b}[31m",
        "\\\"';--",
        &"n".repeat(5000),
    ] {
        let renamed = subject
            .api()
            .update_agent(&agent.id, &AgentUpdate::rename(name))
            .await?;
        assert_eq!(renamed.name, name);
        assert_eq!(renamed.id, agent.id);
        let found = subject
            .api()
            .get_agent(&agent.id, AgentInclude::default())
            .await?;
        assert_eq!(found.name, name);
    }
    Ok(())
}

pub(super) async fn an_update_keeps_what_it_does_not_name(subject: &Subject) -> CaseResult {
    let new = NewAgent {
        description: Some("First.".to_owned()),
        tags: vec![subject.unique("tag")],
        ..subject.new_agent(subject.unique("kept"))
    };
    let agent = subject.make(&new).await?;
    let api = subject.api();

    api.update_agent(&agent.id, &AgentUpdate::rename("Renamed"))
        .await?;
    let found = api.get_agent(&agent.id, all()).await?;
    assert_eq!(found.name, "Renamed");
    assert_eq!(found.description, new.description);
    assert_eq!(found.tags, new.tags);

    let update = AgentUpdate {
        description: Some("Second.".to_owned()),
        tags: Some(vec!["other".to_owned()]),
        ..AgentUpdate::default()
    };
    api.update_agent(&agent.id, &update).await?;
    let found = api.get_agent(&agent.id, all()).await?;
    assert_eq!(found.name, "Renamed");
    assert_eq!(found.description.as_deref(), Some("Second."));
    assert_eq!(found.tags, ["other"]);
    Ok(())
}

pub(super) async fn an_update_can_be_repeated(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let update = AgentUpdate::rename(subject.unique("again"));
    let first = subject.api().update_agent(&agent.id, &update).await?;
    let second = subject.api().update_agent(&agent.id, &update).await?;
    assert_eq!(first.name, second.name);
    // An update that names nothing changes nothing.
    let third = subject
        .api()
        .update_agent(&agent.id, &AgentUpdate::default())
        .await?;
    assert_eq!(third.name, second.name);
    Ok(())
}

pub(super) async fn a_model_or_tool_that_does_not_exist_is_refused(subject: &Subject) -> CaseResult {
    let name = subject.unique("refused");
    let unknown_model = NewAgent {
        model: Some("nobody/nothing".to_owned()),
        ..subject.new_agent(&*name)
    };
    let unknown_tool = NewAgent {
        tools: vec!["no_such_tool_anywhere".to_owned()],
        ..subject.new_agent(&*name)
    };
    for new in [unknown_model, unknown_tool] {
        let error = subject.make(&new).await.failure()?;
        assert_eq!(error.kind(), &LettaErrorKind::InvalidRequest, "{error:?}");
    }
    let query = AgentQuery {
        name: Some(name),
        ..AgentQuery::default()
    };
    assert_eq!(listed(subject, &query).await?, []);
    Ok(())
}

pub(super) async fn a_deleted_agent_is_gone(subject: &Subject) -> CaseResult {
    let (agents, query) = tagged(subject, 2).await?;
    subject.api().delete_agent(&agents[0].id).await?;
    let error = subject
        .api()
        .get_agent(&agents[0].id, AgentInclude::default())
        .await
        .failure()?;
    assert_eq!(error.kind(), &LettaErrorKind::NotFound, "{error:?}");
    assert_eq!(ids(&listed(subject, &query).await?), [agents[1].id.as_str()]);
    Ok(())
}

pub(super) async fn deleting_twice_finds_nothing_the_second_time(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    subject.api().delete_agent(&agent.id).await?;
    let error = subject.api().delete_agent(&agent.id).await.failure()?;
    assert_eq!(error.kind(), &LettaErrorKind::NotFound, "{error:?}");
    Ok(())
}

pub(super) async fn pages_hold_every_agent_once_oldest_first(subject: &Subject) -> CaseResult {
    let (agents, mut query) = tagged(subject, 5).await?;
    query.limit = 2;
    let mut pages = Vec::new();
    loop {
        let page = subject.api().list_agents(&query).await?;
        pages.push(
            ids(&page.agents)
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        );
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(pages.concat(), ids(&agents));
    Ok(())
}

pub(super) async fn pages_hold_every_agent_once_newest_first(subject: &Subject) -> CaseResult {
    let (mut agents, mut query) = tagged(subject, 5).await?;
    query.limit = 2;
    query.direction = Direction::Descending;
    let found = listed(subject, &query).await?;
    agents.reverse();
    assert_eq!(ids(&found), ids(&agents));
    Ok(())
}

pub(super) async fn a_full_last_page_is_followed_by_an_empty_one(subject: &Subject) -> CaseResult {
    let (_, mut query) = tagged(subject, 2).await?;
    query.limit = 2;
    let page = subject.api().list_agents(&query).await?;
    assert_eq!(page.agents.len(), 2);
    query.after = page.next;
    assert!(query.after.is_some());
    let page = subject.api().list_agents(&query).await?;
    assert_eq!(page.agents, []);
    assert_eq!(page.next, None);
    Ok(())
}

pub(super) async fn a_limit_outside_the_range_counts_as_the_nearest(subject: &Subject) -> CaseResult {
    let (_, mut query) = tagged(subject, 2).await?;
    query.limit = 0;
    let page = subject.api().list_agents(&query).await?;
    assert_eq!(page.agents.len(), 1);
    assert!(page.next.is_some());
    query.limit = u32::MAX;
    let page = subject.api().list_agents(&query).await?;
    assert_eq!(page.agents.len(), 2);
    assert_eq!(page.next, None);
    Ok(())
}

pub(super) async fn a_cursor_whose_agent_was_deleted_restarts_the_listing(subject: &Subject) -> CaseResult {
    let (agents, mut query) = tagged(subject, 4).await?;
    query.limit = 2;
    let page = subject.api().list_agents(&query).await?;
    assert_eq!(ids(&page.agents), ids(&agents[..2]));
    subject.api().delete_agent(&agents[1].id).await?;
    query.after = page.next;
    let page = subject.api().list_agents(&query).await?;
    assert_eq!(
        ids(&page.agents),
        [agents[0].id.as_str(), agents[2].id.as_str()],
        "the listing begins anew"
    );
    // So does one with a cursor that never was.
    query.after = Some(AgentCursor::new(NOBODY));
    let page = subject.api().list_agents(&query).await?;
    assert_eq!(page.agents[0].id, agents[0].id);
    Ok(())
}

pub(super) async fn the_agent_changed_last_comes_first_by_time_of_change(subject: &Subject) -> CaseResult {
    let (agents, mut query) = tagged(subject, 3).await?;
    query.order_by = AgentOrder::UpdatedAt;
    query.direction = Direction::Descending;
    subject
        .api()
        .update_agent(&agents[0].id, &AgentUpdate::rename(subject.unique("changed")))
        .await?;
    let found = listed(subject, &query).await?;
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].id, agents[0].id);
    Ok(())
}

pub(super) async fn a_message_is_a_change_too(subject: &Subject) -> CaseResult {
    let (agents, query) = tagged(subject, 2).await?;
    let before = listed(subject, &query).await?;
    subject.say(&agents[0], "hello").await?;
    let after = listed(subject, &query).await?;
    assert!(after[0].updated_at > before[0].updated_at, "{after:?}");
    assert_eq!(after[1].updated_at, before[1].updated_at);
    let query = AgentQuery {
        order_by: AgentOrder::UpdatedAt,
        direction: Direction::Descending,
        ..query
    };
    assert_eq!(
        ids(&listed(subject, &query).await?),
        [agents[0].id.as_str(), agents[1].id.as_str()]
    );
    Ok(())
}

/// When each of these agents last changed, by what the server says now.
async fn changes(subject: &Subject, query: &AgentQuery) -> CaseResult<Vec<Timestamp>> {
    let agents = listed(subject, query).await?;
    let times: Option<Vec<_>> = agents.iter().map(|agent| agent.updated_at).collect();
    times.ok_or_else(|| CaseError::new(format!("an agent without a time of change: {agents:?}")))
}

pub(super) async fn what_changed_since_a_mark_is_listed_newest_change_first(subject: &Subject) -> CaseResult {
    let (agents, query) = tagged(subject, 4).await?;
    for agent in [&agents[2], &agents[0]] {
        let update = AgentUpdate::rename(subject.unique("changed"));
        subject.api().update_agent(&agent.id, &update).await?;
    }
    let times = changes(subject, &query).await?;
    let since = |mark| subject.api().list_agents_updated_since(mark, &query);

    let listing = since(times[2]).await?;
    assert!(listing.is_complete(), "{listing:?}");
    assert_eq!(
        ids(&listing.agents),
        [agents[0].id.as_str(), agents[2].id.as_str()],
        "the mark itself is included"
    );
    assert_eq!(listing.newest_update, Some(times[0]));

    let later = times[2] + SignedDuration::from_micros(1);
    let listing = since(later).await?;
    assert_eq!(ids(&listing.agents), [agents[0].id.as_str()]);

    let listing = since(Timestamp::UNIX_EPOCH).await?;
    assert!(listing.is_complete(), "{listing:?}");
    assert_eq!(listing.agents.len(), agents.len());
    Ok(())
}

pub(super) async fn nothing_changed_since_the_newest_change_costs_one_request(
    subject: &Subject,
) -> CaseResult {
    let (agents, mut query) = tagged(subject, 5).await?;
    query.limit = 2;
    let full = subject.api().list_all_agents(&query).await?;
    let mark = full
        .newest_update
        .ok_or_else(|| CaseError::new("no time of change"))?;
    // The first page is of the agents that were made first: their newest change is not the newest of all.
    let listing = subject.api().list_agents_updated_since(mark, &query).await?;
    assert_eq!(listing.agents.len(), agents.len() - 1, "{listing:?}");
    let mark = listing
        .newest_update
        .ok_or_else(|| CaseError::new("no time of change"))?;
    let listing = subject.api().list_agents_updated_since(mark, &query).await?;
    assert!(listing.is_complete(), "{listing:?}");
    assert_eq!(ids(&listing.agents), [agents[4].id.as_str()]);
    assert_eq!(listing.pages, 1);
    assert_eq!(listing.newest_update, Some(mark));
    Ok(())
}

pub(super) async fn every_page_of_what_changed_is_read(subject: &Subject) -> CaseResult {
    let (agents, mut query) = tagged(subject, 5).await?;
    query.limit = 2;
    let times = changes(subject, &query).await?;
    let listing = subject.api().list_agents_updated_since(times[1], &query).await?;
    assert!(listing.is_complete(), "{listing:?}");
    let newest_first: Vec<&str> = ids(&agents[1..]).into_iter().rev().collect();
    assert_eq!(ids(&listing.agents), newest_first);
    assert_eq!(listing.newest_update, Some(times[4]));
    Ok(())
}

pub(super) async fn an_agent_that_changes_while_it_is_the_cursor_restarts_the_listing(
    subject: &Subject,
) -> CaseResult {
    let (agents, mut query) = tagged(subject, 4).await?;
    query.limit = 2;
    query.order_by = AgentOrder::UpdatedAt;
    query.direction = Direction::Descending;
    let page = subject.api().list_agents(&query).await?;
    assert_eq!(ids(&page.agents), [agents[3].id.as_str(), agents[2].id.as_str()]);
    let update = AgentUpdate::rename(subject.unique("changed"));
    subject.api().update_agent(&agents[2].id, &update).await?;
    query.after = page.next;
    let page = subject.api().list_agents(&query).await?;
    assert_eq!(
        ids(&page.agents),
        [agents[3].id.as_str(), agents[1].id.as_str()],
        "the cursor stands where its agent stands now"
    );
    Ok(())
}

pub(super) async fn hidden_agents_are_listed_only_when_asked_for(subject: &Subject) -> CaseResult {
    let (agents, mut query) = tagged(subject, 1).await?;
    let mut hidden = NewAgent {
        tags: query.tags.clone(),
        hidden: true,
        ..subject.new_agent(subject.unique("hidden"))
    };
    let by_wish = subject.make(&hidden).await?;
    hidden.hidden = false;
    hidden.tags.push("role:subagent".to_owned());
    let by_role = subject.make(&hidden).await?;
    for agent in [&by_wish, &by_role] {
        assert!(agent.hidden, "{agent:?}");
        let found = subject
            .api()
            .get_agent(&agent.id, AgentInclude::default())
            .await?;
        assert!(found.hidden, "{found:?}");
    }
    assert_eq!(ids(&listed(subject, &query).await?), [agents[0].id.as_str()]);
    query.hidden = true;
    let all = [&agents[0], &by_wish, &by_role].map(|agent| agent.id.as_str());
    assert_eq!(ids(&listed(subject, &query).await?), all);
    let listing = subject
        .api()
        .list_agents_updated_since(Timestamp::UNIX_EPOCH, &query)
        .await?;
    assert_eq!(ids(&listing.agents), [all[2], all[1], all[0]]);
    Ok(())
}

pub(super) async fn a_name_filter_is_exact_and_case_sensitive(subject: &Subject) -> CaseResult {
    let name = subject.unique("Filter");
    let wanted = subject.make(&subject.new_agent(&*name)).await?;
    for other in [name.to_lowercase(), format!("{name} more"), format!("x{name}")] {
        subject.make(&subject.new_agent(other)).await?;
    }
    let query = AgentQuery {
        name: Some(name),
        ..AgentQuery::default()
    };
    assert_eq!(ids(&listed(subject, &query).await?), [wanted.id.as_str()]);
    Ok(())
}

pub(super) async fn a_text_filter_finds_parts_of_names_in_any_case(subject: &Subject) -> CaseResult {
    let part = subject.unique("Part");
    let mut wanted = HashSet::new();
    for name in [format!("x {part}"), part.to_uppercase(), format!("{part} y")] {
        wanted.insert(subject.make(&subject.new_agent(name)).await?.id);
    }
    let unlike = part.replace("Part", "Pxrt");
    subject.make(&subject.new_agent(unlike)).await?;
    let query = AgentQuery {
        query_text: Some(part.to_lowercase()),
        ..AgentQuery::default()
    };
    let found = listed(subject, &query).await?;
    assert_eq!(
        found.into_iter().map(|agent| agent.id).collect::<HashSet<_>>(),
        wanted
    );
    Ok(())
}

pub(super) async fn a_tag_filter_takes_any_or_all(subject: &Subject) -> CaseResult {
    let (one, two) = (subject.unique("one"), subject.unique("two"));
    let mut made = Vec::new();
    for tags in [
        vec![one.clone()],
        vec![two.clone()],
        vec![one.clone(), two.clone()],
    ] {
        let new = NewAgent {
            tags,
            ..subject.new_agent(subject.unique("tagged"))
        };
        made.push(subject.make(&new).await?);
    }
    let mut query = AgentQuery {
        tags: vec![one, two],
        ..AgentQuery::default()
    };
    assert_eq!(ids(&listed(subject, &query).await?), ids(&made));
    query.match_all_tags = true;
    assert_eq!(ids(&listed(subject, &query).await?), ids(&made[2..]));
    // A tag with a comma is one tag.
    query.tags = vec![query.tags.join(",")];
    assert_eq!(listed(subject, &query).await?, []);
    Ok(())
}

pub(super) async fn the_count_is_of_those_a_listing_has(subject: &Subject) -> CaseResult {
    // Others may make agents at the same time: asked again until nobody did.
    eventually("a count that agrees with the listing", async || {
        let before = subject.api().count_agents().await?;
        let (agents, _) = tagged(subject, 2).await?;
        let hidden = NewAgent {
            hidden: true,
            ..subject.new_agent(subject.unique("hidden"))
        };
        subject.make(&hidden).await?;
        let after = subject.api().count_agents().await?;
        Ok((after == before + agents.len() as u64).then_some(()))
    })
    .await
}

pub(super) async fn a_rule_for_a_tool_needs_its_agent_but_not_its_tool(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let api = subject.api();
    for required in [true, true, false, false] {
        api.set_tool_approval(&agent.id, subject.tool().0, required)
            .await?;
        api.set_tool_approval(&agent.id, "no_such_tool_anywhere", required)
            .await?;
    }
    let error = api
        .set_tool_approval(&AgentId::new(NOBODY), subject.tool().0, true)
        .await
        .failure()?;
    assert_eq!(error.kind(), &LettaErrorKind::NotFound, "{error:?}");
    Ok(())
}
