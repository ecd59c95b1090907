//! What was said, and how it is read back.

use bytes::Bytes;

use super::{
    super::{CaseResult, result::Failure},
    Subject,
};
use crate::{
    Agent, AgentId, ContentPart, ConversationId, ConversationRef, HistoryItem, HistoryMessage, HistoryPage,
    HistoryQuery, LettaErrorKind, MessageId, NewConversation, ToolStatus, TurnInput, TurnOptions,
};

const NOBODY: &str = "agent-00000000-0000-4000-8000-000000000000";
const NOWHERE: &str = "conv-00000000-0000-4000-8000-000000000000";
const NEVER: &str = "message-00000000-0000-4000-8000-000000000000";

async fn all_of(subject: &Subject, of: &ConversationRef) -> CaseResult<HistoryPage> {
    let query = HistoryQuery {
        limit: 200,
        ..HistoryQuery::default()
    };
    Ok(subject.api().list_messages(of, &query).await?)
}

/// What was said, in short: `> hello` and `< echo: hello`.
fn said(messages: &[HistoryMessage]) -> Vec<String> {
    messages
        .iter()
        .filter_map(|message| match &message.item {
            HistoryItem::User { text, .. } => Some(format!("> {text}")),
            HistoryItem::Assistant { text } => Some(format!("< {text}")),
            _ => None,
        })
        .collect()
}

/// An agent that was spoken to.
async fn after_saying(subject: &Subject, texts: &[&str]) -> CaseResult<(Agent, ConversationRef)> {
    let agent = subject.agent().await?;
    for text in texts {
        subject.say(&agent, text).await?;
    }
    let to = ConversationRef::agent(agent.id.clone());
    Ok((agent, to))
}

pub(super) async fn messages_come_oldest_first(subject: &Subject) -> CaseResult {
    let (_, to) = after_saying(subject, &["one", "two", "three"]).await?;
    let page = all_of(subject, &to).await?;
    assert_eq!(
        said(&page.messages),
        [
            "> one",
            "< echo: one",
            "> two",
            "< echo: two",
            "> three",
            "< echo: three"
        ]
    );
    assert!(!page.may_continue);
    assert!(
        matches!(page.messages[0].item, HistoryItem::System { .. }),
        "{:?}",
        page.messages[0]
    );
    let dates: Vec<_> = page.messages.iter().map(|message| message.date).collect();
    assert!(dates.is_sorted(), "{dates:?}");
    assert!(dates.iter().all(Option::is_some), "{dates:?}");
    Ok(())
}

pub(super) async fn the_senders_id_and_the_run_are_kept(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let to = ConversationRef::agent(agent.id);
    let input = TurnInput::text(subject.otid(), "find me");
    let outcome = subject
        .api()
        .send(&to, &input, &TurnOptions::default())
        .await?
        .outcome()
        .await?;
    let page = all_of(subject, &to).await?;
    let found: Vec<_> = page
        .messages
        .iter()
        .filter(|message| message.otid.as_ref() == Some(&input.otid))
        .collect();
    let [question] = found[..] else {
        panic!("{page:#?}")
    };
    assert!(matches!(&question.item, HistoryItem::User { text, .. } if text == "find me"));
    assert_eq!(question.run, outcome.run);
    let answer = page
        .messages
        .iter()
        .find(|message| matches!(message.item, HistoryItem::Assistant { .. }));
    assert_eq!(answer.and_then(|answer| answer.run.clone()), outcome.run);
    Ok(())
}

pub(super) async fn a_thought_and_its_answer_share_an_id(subject: &Subject) -> CaseResult {
    let (_, to) = after_saying(subject, &["[think deeply] hello"]).await?;
    let page = all_of(subject, &to).await?;
    let thought = page
        .messages
        .iter()
        .find(|message| matches!(&message.item, HistoryItem::Reasoning { text } if text == "deeply"));
    let answer = page
        .messages
        .iter()
        .find(|message| matches!(message.item, HistoryItem::Assistant { .. }));
    let (Some(thought), Some(answer)) = (thought, answer) else {
        panic!("{page:#?}")
    };
    assert_eq!(thought.id, answer.id);
    assert_ne!(thought.otid, answer.otid);
    Ok(())
}

pub(super) async fn calls_and_returns_are_kept(subject: &Subject) -> CaseResult {
    let (_, to) = after_saying(subject, &[&subject.tool_prompt()]).await?;
    let page = all_of(subject, &to).await?;
    let calls = page.messages.iter().find_map(|message| match &message.item {
        HistoryItem::ToolCalls(calls) => Some(calls),
        _ => None,
    });
    let returned = page.messages.iter().find_map(|message| match &message.item {
        HistoryItem::ToolReturn { call, status, output } => Some((call, *status, output)),
        _ => None,
    });
    let (Some([call]), Some((returned, status, output))) = (calls.map(Vec::as_slice), returned) else {
        panic!("{page:#?}")
    };
    assert_eq!(call.name, subject.tool().0);
    assert_eq!(returned, &call.id);
    assert_eq!(status, ToolStatus::Success);
    assert_ne!(output, "");
    let last = said(&page.messages).pop().unwrap_or_default();
    assert!(
        last.starts_with(&format!("< tool {} returned: ", call.name)),
        "{last}"
    );
    Ok(())
}

pub(super) async fn images_and_parts_are_kept(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let to = ConversationRef::agent(agent.id);
    let input = TurnInput {
        otid: subject.otid(),
        content: vec![
            ContentPart::Text("first".to_owned()),
            ContentPart::Text("second".to_owned()),
            ContentPart::Image {
                media_type: "image/png".to_owned(),
                data: Bytes::from_static(b"\x89PNG\r\n\x1a\n"),
            },
        ],
        name: None,
    };
    subject
        .api()
        .send(&to, &input, &TurnOptions::default())
        .await?
        .outcome()
        .await?;
    let page = all_of(subject, &to).await?;
    let question = page
        .messages
        .iter()
        .find(|message| message.otid.as_ref() == Some(&input.otid));
    assert_eq!(
        question.map(|question| &question.item),
        Some(&HistoryItem::User {
            text: "first\nsecond".to_owned(),
            images: 1
        })
    );
    Ok(())
}

pub(super) async fn a_page_holds_the_newest(subject: &Subject) -> CaseResult {
    let (_, to) = after_saying(subject, &["one", "two", "three"]).await?;
    let query = HistoryQuery {
        limit: 2,
        ..HistoryQuery::default()
    };
    let page = subject.api().list_messages(&to, &query).await?;
    assert_eq!(said(&page.messages), ["> three", "< echo: three"]);
    assert!(page.may_continue);
    let query = HistoryQuery { limit: 0, ..query };
    let page = subject.api().list_messages(&to, &query).await?;
    assert_eq!(said(&page.messages), ["< echo: three"]);
    Ok(())
}

pub(super) async fn pages_lead_back_and_forth(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let conversation = subject
        .api()
        .create_conversation(&agent.id, &NewConversation::default())
        .await?;
    for to in [
        ConversationRef::agent(agent.id.clone()),
        ConversationRef::of(agent.id, conversation.id),
    ] {
        for text in ["one", "two", "three"] {
            subject.say_in(&to, &format!("[think of {text}] {text}")).await?;
        }
        let all: Vec<_> = all_of(subject, &to).await?.messages;
        let page = |before: Option<MessageId>, after: Option<MessageId>| {
            let to = to.clone();
            async move {
                let query = HistoryQuery {
                    limit: 2,
                    before,
                    after,
                };
                subject.api().list_messages(&to, &query).await
            }
        };

        let mut back: Vec<HistoryMessage> = Vec::new();
        let mut cursor = None;
        loop {
            let page = page(cursor.clone(), None).await?;
            cursor = page.messages.first().map(|message| message.id.clone());
            back.splice(0..0, page.messages);
            if !page.may_continue {
                break;
            }
        }
        assert_eq!(back, all, "from the newest back");

        let first = all[0].id.clone();
        let mut forth: Vec<_> = all
            .iter()
            .filter(|message| message.id == first)
            .cloned()
            .collect();
        let mut cursor = Some(first);
        loop {
            let page = page(None, cursor.clone()).await?;
            cursor = page.messages.last().map(|message| message.id.clone()).or(cursor);
            forth.extend(page.messages);
            if !page.may_continue {
                break;
            }
        }
        assert_eq!(forth, all, "from the oldest on");
    }
    Ok(())
}

pub(super) async fn an_agents_history_includes_its_conversations(subject: &Subject) -> CaseResult {
    let (agent, to) = after_saying(subject, &["here"]).await?;
    let conversation = subject
        .api()
        .create_conversation(&agent.id, &NewConversation::default())
        .await?;
    let there = ConversationRef::of(agent.id, conversation.id.clone());
    subject.say_in(&there, "there").await?;

    let everything = all_of(subject, &to).await?;
    assert_eq!(
        said(&everything.messages),
        ["> here", "< echo: here", "> there", "< echo: there"]
    );
    let only_there = all_of(subject, &there).await?;
    assert_eq!(said(&only_there.messages), ["> there", "< echo: there"]);
    assert!(
        only_there
            .messages
            .iter()
            .all(|message| message.conversation.as_ref() == Some(&conversation.id)),
        "{only_there:#?}"
    );
    Ok(())
}

pub(super) async fn an_empty_conversation_has_an_empty_history(subject: &Subject) -> CaseResult {
    let agent = subject.agent().await?;
    let conversation = subject
        .api()
        .create_conversation(&agent.id, &NewConversation::default())
        .await?;
    let page = all_of(subject, &ConversationRef::of(agent.id, conversation.id)).await?;
    assert_eq!(said(&page.messages), Vec::<String>::new());
    assert!(!page.may_continue);
    Ok(())
}

pub(super) async fn a_history_that_does_not_exist_is_not_found(subject: &Subject) -> CaseResult {
    let (agent, to) = after_saying(subject, &["hello"]).await?;
    let conversation = subject
        .api()
        .create_conversation(&agent.id, &NewConversation::default())
        .await?;
    let there = ConversationRef::of(agent.id.clone(), conversation.id);
    let api = subject.api();
    let never = Some(MessageId::new(NEVER));
    let before = HistoryQuery {
        before: never.clone(),
        ..HistoryQuery::default()
    };
    let after = HistoryQuery {
        after: never,
        ..HistoryQuery::default()
    };
    let nowhere = ConversationRef::of(agent.id, ConversationId::new(NOWHERE));
    let nobody = ConversationRef::agent(AgentId::new(NOBODY));
    for (of, query) in [
        (&nobody, &HistoryQuery::default()),
        (&nowhere, &HistoryQuery::default()),
        (&to, &before),
        (&to, &after),
        (&there, &before),
        (&there, &after),
    ] {
        let error = api.list_messages(of, query).await.failure()?;
        assert_eq!(
            error.kind(),
            &LettaErrorKind::NotFound,
            "{of:?} {query:?}: {error:?}"
        );
    }
    Ok(())
}
