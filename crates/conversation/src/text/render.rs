//! From Markdown to Matrix's subset of HTML.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use ammonia::UrlRelative;
use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd, html::push_html};

use super::plain::{clean, without_room_mention};

/// Longer texts get no HTML: they do not fit into an event, and work on hostile ones stays bounded.
const MAX_FORMATTED_BYTES: usize = 64 * 1024;

/// How deep tags are nested. The specification allows 100; a code block adds two tags and a table's row one.
const MAX_DEPTH: usize = 64;

/// Schemes of links: the specification's, and `matrix:` for what is in Matrix.
const LINK_SCHEMES: [&str; 6] = ["https", "http", "ftp", "mailto", "magnet", "matrix"];

/// The tags of the specification, but `span` and `img`. Markdown makes no `span`; an image would have to be on a
/// homeserver.
const TAGS: [&str; 34] = [
    "del",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "blockquote",
    "p",
    "a",
    "ul",
    "ol",
    "sup",
    "sub",
    "li",
    "b",
    "i",
    "u",
    "strong",
    "em",
    "s",
    "code",
    "hr",
    "br",
    "div",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "caption",
    "pre",
    "details",
];

/// A text in the two forms of a Matrix message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// For clients and bridges that show no HTML: the Markdown itself.
    pub body: String,
    /// Sanitised HTML, when there is formatting to show.
    pub html: Option<String>,
}

/// Renders an agent's Markdown (CommonMark with tables, strikethrough and task lists).
///
/// HTML in the Markdown is shown as the text it is. A line break shows as one, as people expect in a chat. An image
/// becomes a link: clients load nothing from an address that an agent wrote. Of links to where no message may lead,
/// the text remains.
pub fn render(markdown: &str) -> Rendered {
    let markdown = clean(markdown);
    let markdown = trim_blank_lines(&markdown);
    let body = without_room_mention(markdown);
    let html = (markdown.len() <= MAX_FORMATTED_BYTES)
        .then(|| formatted(markdown))
        .flatten();
    Rendered { body, html }
}

/// What this Markdown dialect is made of.
pub(super) fn options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS
}

/// The text without white space at its end and empty lines at its beginning. Blanks before the first word may
/// mean code.
pub(super) fn trim_blank_lines(text: &str) -> &str {
    let text = text.trim_end();
    let first = text.find(|c: char| !c.is_whitespace()).unwrap_or(0);
    let line = text[..first].rfind('\n').map_or(0, |at| at + 1);
    &text[line..]
}

/// Lets only Matrix's subset of HTML through.
pub(super) fn sanitise(html: &str) -> String {
    static SANITISER: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
        let mut builder = ammonia::Builder::empty();
        builder
            .tags(TAGS.into_iter().chain(["summary"]).collect())
            .generic_attributes(HashSet::new())
            .clean_content_tags(HashSet::from(["script", "style", "mx-reply"]))
            .tag_attributes(HashMap::from([
                ("a", HashSet::from(["href"])),
                ("ol", HashSet::from(["start"])),
                ("code", HashSet::from(["class"])),
            ]))
            .url_schemes(HashSet::from(LINK_SCHEMES))
            .url_relative(UrlRelative::Deny)
            .link_rel(None)
            .strip_comments(true)
            .attribute_filter(|tag, attribute, value| match (tag, attribute) {
                ("code", "class") => value
                    .split_ascii_whitespace()
                    .find(|class| class.strip_prefix("language-").is_some_and(is_language))
                    .map(|class| Cow::Owned(class.to_owned())),
                ("ol", "start") => value.parse::<u32>().ok().map(|_| value.into()),
                _ => Some(value.into()),
            });
        builder
    });
    SANITISER.clean(html).to_string()
}

fn formatted(markdown: &str) -> Option<String> {
    let mut events = Vec::new();
    let mut translator = Translator::default();
    for event in Parser::new_ext(markdown, options()) {
        translator.translate(event, &mut events);
    }
    if !translator.visible || is_plain(&events, markdown) {
        return None;
    }
    let mut html = String::with_capacity(markdown.len() * 2);
    push_html(&mut html, events.into_iter());
    let html = sanitise(&html);
    let html = html.trim_end();
    // The specification wants no tags that are not needed.
    let single = html
        .strip_prefix("<p>")
        .and_then(|html| html.strip_suffix("</p>"))
        .filter(|inner| !inner.contains("<p>"));
    Some(single.unwrap_or(html).to_owned())
}

/// Whether the text shows as it was written, white space aside.
fn is_plain(events: &[Event<'_>], markdown: &str) -> bool {
    let mut shown = String::new();
    for event in events {
        match event {
            Event::Text(text) => shown.push_str(text),
            Event::HardBreak | Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph) => {}
            _ => return false,
        }
    }
    // What keeps a room from being notified is in one of them only.
    let visible = |text: &str| {
        let characters = text.chars();
        characters
            .filter(|c| !c.is_whitespace() && *c != '\u{200b}')
            .collect::<String>()
    };
    visible(&shown) == visible(markdown)
}

/// Turns what Markdown says into what a message may say.
#[derive(Default)]
struct Translator {
    /// The open elements, and what became of each.
    open: Vec<Fate>,
    /// How many of them are tags in the HTML.
    depth: usize,
    /// How many are open that are too deep to be tags.
    too_deep: usize,
    /// Links in links are none.
    links: usize,
    /// Whether there is anything to see.
    visible: bool,
}

#[derive(Clone, Copy)]
enum Fate {
    Kept,
    /// As a tag of another name.
    Became(TagEnd),
    Dropped,
    /// With everything in it but the text.
    TooDeep,
}

impl Translator {
    fn translate<'a>(&mut self, event: Event<'a>, events: &mut Vec<Event<'a>>) {
        match event {
            Event::Start(tag) => self.start(tag, events),
            Event::End(end) => self.end(end, events),
            Event::Html(line) => {
                if matches!(events.last(), Some(Event::Text(_))) {
                    events.push(Event::HardBreak);
                }
                let line = line.trim_end_matches('\n').to_owned();
                self.translate(Event::Text(line.into()), events);
            }
            Event::InlineHtml(text) | Event::Text(text) => {
                self.visible |= !text.trim().is_empty();
                let text = match text.contains('@') {
                    true => without_room_mention(&text).into(),
                    false => text,
                };
                events.push(Event::Text(text));
            }
            Event::SoftBreak => events.push(Event::HardBreak),
            Event::TaskListMarker(done) => {
                events.push(Event::Text(if done { "☑ " } else { "☐ " }.into()));
            }
            Event::Code(_) | Event::Rule => {
                self.visible = true;
                events.push(event);
            }
            _ => events.push(event),
        }
    }

    fn start<'a>(&mut self, tag: Tag<'a>, events: &mut Vec<Event<'a>>) {
        let room = match tag {
            Tag::Table(_) => 3,
            Tag::List(_) => 2,
            _ => 1,
        };
        let fits = self.too_deep == 0 && self.depth + room <= MAX_DEPTH;
        let (fate, tag) = match tag {
            Tag::HtmlBlock => (Fate::Became(TagEnd::Paragraph), Tag::Paragraph),
            Tag::Image { ref dest_url, .. } if self.links == 0 && is_allowed_link(dest_url) => {
                let link = Tag::Link {
                    link_type: LinkType::Inline,
                    dest_url: dest_url.clone(),
                    title: "".into(),
                    id: "".into(),
                };
                (Fate::Became(TagEnd::Link), link)
            }
            Tag::Image { .. } => (Fate::Dropped, tag),
            Tag::Link {
                link_type,
                ref dest_url,
                ..
            } if self.links > 0 || !(link_type == LinkType::Email || is_allowed_link(dest_url)) => {
                (Fate::Dropped, tag)
            }
            _ => (Fate::Kept, tag),
        };
        let fate = if fits { fate } else { Fate::TooDeep };
        self.open.push(fate);
        self.too_deep += usize::from(!fits);
        if matches!(fate, Fate::Kept | Fate::Became(_)) {
            self.depth += 1;
            self.links += usize::from(matches!(tag, Tag::Link { .. }));
            events.push(Event::Start(tag));
        }
    }

    fn end<'a>(&mut self, end: TagEnd, events: &mut Vec<Event<'a>>) {
        let end = match self.open.pop() {
            Some(Fate::Kept) => end,
            Some(Fate::Became(other)) => other,
            Some(Fate::Dropped) | None => return,
            Some(Fate::TooDeep) => {
                self.too_deep -= 1;
                // What stood in blocks must not run together.
                if !matches!(end, TagEnd::Link | TagEnd::Image) {
                    events.push(Event::Text(" ".into()));
                }
                return;
            }
        };
        self.depth -= 1;
        self.links -= usize::from(end == TagEnd::Link);
        if let Some(Event::Start(Tag::Link { dest_url, .. })) = events.last() {
            // A link of no words, an image without a description.
            let text = dest_url.clone();
            self.visible = true;
            events.push(Event::Text(text));
        }
        events.push(Event::End(end));
    }
}

fn is_language(name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '+' | '#' | '.');
    !name.is_empty() && name.chars().all(is_part)
}

fn is_allowed_link(address: &str) -> bool {
    address.split_once(':').is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && LINK_SCHEMES
                .iter()
                .any(|allowed| scheme.eq_ignore_ascii_case(allowed))
    })
}

#[cfg(test)]
mod tests;
