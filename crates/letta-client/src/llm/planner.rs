//! Decides what the provider does with one request.

use serde_json::{Map, Value};

use super::assistant;
use super::completion::{
    Answer, Completion, Cut, Delays, Failure, FinishReason, LlmToolCall, Outcome, ProviderErrorKind, Usage,
};
use super::hash::StableHash;
use super::incoming::{Incoming, Source, unwrap_json};
use super::markers::{MarkedCall, Markers};
use super::request::{LlmMessage, LlmRequest, LlmRole, OfferedTool, ToolChoice};
use super::schema;
use super::script::{Reply, ScriptedReply};
use super::{Behaviour, FakeLlm};

/// The tool through which agents of the older kind speak.
const SEND_MESSAGE: &str = "send_message";

/// The tool with which Letta's memory-keeping agents end their turn.
const FINISH_EDITS: &str = "memory_finish_edits";

/// What such agents are made to think when no marker says.
const DEFAULT_THOUGHTS: &str = "fake thoughts";

pub(super) fn plan(llm: &FakeLlm, request: &LlmRequest) -> Completion {
    let mut delays = llm.config().delays;
    let requested = prompt_tokens(request);
    let Some(model) = llm.model(&request.model) else {
        return fail(delays, unknown_model(&request.model));
    };
    if requested > model.context_window {
        return fail(
            delays,
            Failure::ContextLengthExceeded {
                limit: model.context_window,
                requested,
            },
        );
    }
    let turn = Turn::of(request);
    let scripted = take_script(llm, &turn.incoming.text);
    let markers = turn.markers();
    delays.before_first_byte = scripted
        .as_ref()
        .and_then(|s| s.slow)
        .or(markers.slow)
        .unwrap_or(delays.before_first_byte);
    delays.spread = scripted
        .as_ref()
        .and_then(|s| s.trickle)
        .or(markers.trickle)
        .unwrap_or(delays.spread);

    let cut = scripted.as_ref().and_then(|s| Some((s.cut_after?, s.cut)));
    let thought = scripted.as_ref().and_then(|s| s.think.clone());
    let speech = match scripted.map(|s| s.reply) {
        Some(Reply::Fail(failure)) => Err(failure),
        Some(Reply::ContextLength) => Err(too_long(model.context_window)),
        Some(Reply::Answer { text, calls }) => {
            let calls = calls.into_iter().map(|call| MarkedCall {
                name: call.name,
                arguments: Value::Object(call.arguments).to_string(),
            });
            Ok(Speech {
                reasoning: thought,
                text,
                calls: calls.collect(),
                cut,
            })
        }
        Some(Reply::AsUsual) | None => {
            speak(llm, &turn, &markers, model.context_window).map(|speech| Speech {
                reasoning: thought.or(speech.reasoning),
                cut: cut.or(speech.cut),
                ..speech
            })
        }
    };
    match speech {
        Ok(speech) => Completion {
            delays,
            outcome: Outcome::Answer(finish(llm, request, speech, requested)),
        },
        Err(failure) => fail(delays, failure),
    }
}

fn fail(delays: Delays, failure: Failure) -> Completion {
    Completion {
        delays,
        outcome: Outcome::Failure(failure),
    }
}

fn unknown_model(id: &str) -> Failure {
    Failure::Status {
        status: 404,
        kind: ProviderErrorKind::NotFound,
        message: format!("The model `{id}` does not exist or you do not have access to it."),
        retry_after: None,
    }
}

fn too_long(limit: u64) -> Failure {
    Failure::ContextLengthExceeded {
        limit,
        requested: 999_999.max(limit.saturating_add(1)),
    }
}

/// The first waiting scripted reply that is meant for this message.
fn take_script(llm: &FakeLlm, last_user_text: &str) -> Option<ScriptedReply> {
    let script = &mut llm.state().script;
    let position = script.iter().position(|reply| reply.is_for(last_user_text))?;
    let reply = script.get_mut(position)?;
    if reply.times > 1 {
        reply.times -= 1;
        return Some(reply.clone());
    }
    Some(script.remove(position))
}

/// What the model says, before it is made into an answer.
struct Speech {
    reasoning: Option<String>,
    text: Option<String>,
    calls: Vec<MarkedCall>,
    /// After how many chunks a stream is cut, and how.
    cut: Option<(usize, Cut)>,
}

/// The newest user message, and what came before and after it.
struct Turn<'a> {
    incoming: Incoming,
    images: usize,
    before: &'a [LlmMessage],
    after: &'a [LlmMessage],
}

impl<'a> Turn<'a> {
    fn of(request: &'a LlmRequest) -> Self {
        let messages = request.messages.as_slice();
        let is_user = |message: &LlmMessage| message.role == LlmRole::User;
        let speaks =
            |message: &LlmMessage| is_user(message) && Incoming::read(&message.text).source != Source::Event;
        match messages
            .iter()
            .rposition(speaks)
            .or_else(|| messages.iter().rposition(is_user))
        {
            Some(at) => Self {
                incoming: Incoming::read(&messages[at].text),
                images: messages[at].images,
                before: &messages[..at],
                after: &messages[at + 1..],
            },
            None => Self {
                incoming: Incoming::read(""),
                images: 0,
                before: messages,
                after: &[],
            },
        }
    }

    /// The markers of the person's text; markers that the server quotes do nothing.
    fn markers(&self) -> Markers {
        match self.incoming.source {
            Source::Person => Markers::read(&self.incoming.text),
            Source::Server | Source::Transcript | Source::Event => Markers::default(),
        }
    }

    /// `tool NAME returned: RESULT` for every tool result since the user message; `None` when there is none.
    fn results(&self) -> Option<String> {
        let name_of = |id: &str| {
            let mut calls = self.after.iter().flat_map(|message| &message.tool_calls);
            calls
                .find(|call| call.id == id)
                .map_or("?", |call| call.name.as_str())
        };
        let results: Vec<_> = self
            .after
            .iter()
            .filter(|message| message.role == LlmRole::Tool)
            .map(|message| {
                let name = message.tool_call_id.as_deref().map_or("?", name_of);
                format!("tool {name} returned: {}", unwrap_json(&message.text).0)
            })
            .collect();
        (!results.is_empty()).then(|| results.join("; "))
    }

    /// What people said before the newest message, oldest first.
    fn earlier(&self) -> Vec<String> {
        let said = self.before.iter().filter(|message| message.role == LlmRole::User);
        said.map(|message| Incoming::read(&message.text))
            .filter(|incoming| incoming.source == Source::Person)
            .map(|incoming| incoming.text)
            .collect()
    }
}

/// What the markers, or the configured behaviour, say.
fn speak(llm: &FakeLlm, turn: &Turn<'_>, markers: &Markers, context_window: u64) -> Result<Speech, Failure> {
    let results = turn.results();
    if markers.context_length {
        return Err(too_long(context_window));
    }
    if let Some(status) = markers.fail
        && results.is_none()
    {
        return Err(Failure::status(status));
    }
    if let Some(tag) = &markers.fail_once
        && llm.state().seen_tags.insert(tag.clone())
    {
        return Err(Failure::status(500));
    }
    if markers.bad_json {
        return Err(Failure::NotJson {
            body: "<html>not json</html>".to_owned(),
        });
    }
    let cut = match (markers.cut_stream, markers.drop_stream) {
        (true, _) => Some((1, Cut::Broken)),
        (false, true) => Some((1, Cut::Silent)),
        (false, false) => None,
    };
    let reasoning = markers.think.clone();
    let speech = |text, calls| Speech {
        reasoning,
        text,
        calls,
        cut,
    };
    if !markers.loops.is_empty() {
        return Ok(speech(None, markers.loops.clone()));
    }
    if let Some(results) = results {
        return Ok(speech(Some(results), Vec::new()));
    }
    if !markers.calls.is_empty() {
        return Ok(speech(None, markers.calls.clone()));
    }
    Ok(speech(Some(text(llm, turn, markers)), Vec::new()))
}

fn text(llm: &FakeLlm, turn: &Turn<'_>, markers: &Markers) -> String {
    let text = &turn.incoming.text;
    if turn.incoming.source == Source::Transcript {
        return format!("summary of {} characters", text.chars().count());
    }
    if markers.empty {
        return String::new();
    }
    if let Some(say) = &markers.say {
        return say.clone();
    }
    if let Some(words) = markers.long {
        return (0..words.min(1_000_000))
            .map(|n| format!("word{n}"))
            .collect::<Vec<_>>()
            .join(" ");
    }
    if markers.context {
        return remembered(&turn.earlier());
    }
    match llm.config().behaviour {
        Behaviour::Echo if turn.images > 0 => format!("echo: {text} [images: {}]", turn.images),
        Behaviour::Echo => format!("echo: {text}"),
        Behaviour::Assistant => assistant::answer(&assistant::Scene {
            seed: llm.config().seed,
            system: turn
                .before
                .iter()
                .filter(|m| m.role == LlmRole::System)
                .map(|m| m.text.as_str())
                .collect(),
            persona: llm.config().persona.as_deref(),
            earlier: turn.earlier(),
            text,
            from_person: turn.incoming.source == Source::Person,
            images: turn.images,
        }),
    }
}

fn remembered(earlier: &[String]) -> String {
    let count = earlier.len();
    let turns = if count == 1 { "turn" } else { "turns" };
    match earlier.first() {
        Some(first) => format!("context: {count} earlier user {turns}, the first was: {first}"),
        None => "context: 0 earlier user turns".to_owned(),
    }
}

/// Makes the answer: wraps the final text for older agents, completes and numbers the calls, counts tokens.
fn finish(llm: &FakeLlm, request: &LlmRequest, speech: Speech, prompt_tokens: u64) -> Answer {
    let Speech {
        mut reasoning,
        mut text,
        mut calls,
        cut,
    } = speech;
    let mut finish_reason = FinishReason::Stop;
    if let (Some(limit), Some(whole)) = (request.max_tokens, &mut text) {
        let allowed = usize::try_from(limit.saturating_mul(BYTES_PER_TOKEN)).unwrap_or(usize::MAX);
        if whole.len() > allowed {
            whole.truncate(whole.floor_char_boundary(allowed));
            finish_reason = FinishReason::Length;
        }
    }
    match &request.tool_choice {
        ToolChoice::None => {
            if !std::mem::take(&mut calls).is_empty() {
                text.get_or_insert_default();
            }
        }
        choice => {
            if let Some(tool) = request.offered(SEND_MESSAGE)
                && calls.is_empty()
                && choice.allows(SEND_MESSAGE)
                && let Some(text) = text.take()
            {
                calls.push(send_message(tool, text, reasoning.take()));
            }
            if let Some(tool) = demanded_tool(request, &calls) {
                let said = text.take().unwrap_or_default();
                calls = vec![MarkedCall {
                    name: tool.name.clone(),
                    arguments: schema::example(&tool.parameters, &said).to_string(),
                }];
            }
        }
    }
    if !request.parallel_tool_calls {
        calls.truncate(1);
    }
    let tool_calls = number(llm, request, calls);
    if !tool_calls.is_empty() {
        finish_reason = FinishReason::ToolCalls;
    }
    let reasoning_tokens = reasoning.as_deref().map_or(0, tokens);
    let answer_tokens = text.as_deref().map_or(0, tokens)
        + tool_calls
            .iter()
            .map(|call| tokens(&call.name) + tokens(&call.arguments))
            .sum::<u64>();
    let usage = Usage {
        prompt_tokens,
        completion_tokens: (answer_tokens + reasoning_tokens).max(1),
        reasoning_tokens,
    };
    Answer {
        reasoning,
        text,
        tool_calls,
        finish_reason,
        usage,
        cut_after: cut.map(|(chunks, _)| chunks),
        cut: cut.map(|(_, how)| how).unwrap_or_default(),
    }
}

/// The tool that the request's [`ToolChoice`] demands and `calls` does not have.
fn demanded_tool<'a>(request: &'a LlmRequest, calls: &[MarkedCall]) -> Option<&'a OfferedTool> {
    match &request.tool_choice {
        ToolChoice::Auto | ToolChoice::None => None,
        ToolChoice::Tool(name) if calls.iter().any(|call| call.name == *name) => None,
        ToolChoice::Tool(name) => request.offered(name),
        ToolChoice::Required if !calls.is_empty() => None,
        ToolChoice::Required => request.offered(FINISH_EDITS).or_else(|| request.tools.first()),
    }
}

fn send_message(tool: &OfferedTool, text: String, reasoning: Option<String>) -> MarkedCall {
    let mut arguments = Map::new();
    if tool.parameters.is_null() || tool.accepts("thinking") {
        arguments.insert(
            "thinking".to_owned(),
            reasoning.unwrap_or_else(|| DEFAULT_THOUGHTS.to_owned()).into(),
        );
    }
    arguments.insert("message".to_owned(), text.into());
    MarkedCall {
        name: SEND_MESSAGE.to_owned(),
        arguments: Value::Object(arguments).to_string(),
    }
}

/// Gives each call an id, and the arguments that older agents demand of every call.
fn number(llm: &FakeLlm, request: &LlmRequest, calls: Vec<MarkedCall>) -> Vec<LlmToolCall> {
    if calls.is_empty() {
        return Vec::new();
    }
    let print = fingerprint(llm.config().seed, request, &calls);
    let repetition = {
        let mut state = llm.state();
        let seen = state.repeated_calls.entry(print.finish()).or_default();
        *seen += 1;
        *seen
    };
    (0..)
        .zip(calls)
        .map(|(index, call)| {
            let print = print.number(repetition).number(index);
            let low = u32::try_from(print.number(1).finish() >> 32).unwrap_or_default();
            LlmToolCall {
                id: format!("call_{:016x}{low:08x}", print.finish()),
                arguments: request.offered(&call.name).map_or_else(
                    || call.arguments.clone(),
                    |tool| with_demanded_arguments(tool, &call.arguments),
                ),
                name: call.name,
            }
        })
        .collect()
}

fn fingerprint(seed: u64, request: &LlmRequest, calls: &[MarkedCall]) -> StableHash {
    let mut print = StableHash::new(seed).text(&request.model);
    for message in &request.messages {
        print = print.number(message.role as u64).text(&message.text);
        print = print.text(message.tool_call_id.as_deref().unwrap_or_default());
        for call in &message.tool_calls {
            print = print.text(&call.id);
        }
    }
    calls
        .iter()
        .fold(print, |print, call| print.text(&call.name).text(&call.arguments))
}

fn with_demanded_arguments(tool: &OfferedTool, arguments: &str) -> String {
    let missing: Vec<_> = [
        ("thinking", Value::from(DEFAULT_THOUGHTS)),
        ("request_heartbeat", Value::from(true)),
    ]
    .into_iter()
    .filter(|(name, _)| tool.requires(name))
    .collect();
    match serde_json::from_str::<Map<_, _>>(arguments) {
        Ok(mut fields) if !missing.is_empty() => {
            for (name, value) in missing {
                fields.entry(name).or_insert(value);
            }
            Value::Object(fields).to_string()
        }
        _ => arguments.to_owned(),
    }
}

const BYTES_PER_TOKEN: u64 = 4;

/// What an image costs.
const IMAGE_TOKENS: u64 = 85;

fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(BYTES_PER_TOKEN)
}

pub(super) fn prompt_tokens(request: &LlmRequest) -> u64 {
    let messages = request.messages.iter().map(|message| {
        let calls = message
            .tool_calls
            .iter()
            .map(|call| tokens(&call.name) + tokens(&call.arguments));
        tokens(&message.text) + calls.sum::<u64>() + IMAGE_TOKENS * message.images as u64
    });
    let tools = request
        .tools
        .iter()
        .map(|tool| tokens(&tool.name) + tokens(&tool.parameters.to_string()));
    messages.chain(tools).sum::<u64>().max(1)
}
