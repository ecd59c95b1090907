//! The way between an agent's Markdown and a Matrix message, and between a person's words and what the agent reads.
//!
//! Everything here is pure, and everything that comes in is untrusted: an agent's answer may have been dictated by
//! a web page it read, a tool's name or error by whoever wrote the tool, a display name by its owner.

mod address;
mod envelope;
mod plain;
mod render;
mod split;
mod tools;

pub use address::{is_silence, mentions};
pub use envelope::{Attachment, Envelope, Header, Quote, QuoteHeader, SenderKind, unwrap, wrap};
pub use plain::{plain_line, plain_notice_text};
pub use render::{Rendered, render};
pub use split::{MAX_PART_BYTES, split};
pub use tools::{ToolState, approval_decided, approval_request, tool_note};

/// What stands at the end of what goes on.
pub const UNFINISHED: &str = " …";

use matrix_client::content::Message;

/// The message of the agent that says this.
pub fn content(rendered: &Rendered) -> Message {
    match &rendered.html {
        Some(html) => Message::html(&rendered.body, html),
        None => Message::text(&rendered.body),
    }
}

/// A notice that says this Markdown.
pub fn notice(markdown: &str) -> Message {
    notice_of(&render(markdown))
}

/// A notice that says this.
pub fn notice_of(rendered: &Rendered) -> Message {
    match &rendered.html {
        Some(html) => Message::notice_html(&rendered.body, html),
        None => Message::notice(&rendered.body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_text_is_sent_without_html_and_a_formatted_one_with_it() {
        let plain = content(&render("one\n\ntwo")).to_content();
        assert_eq!(plain["msgtype"], "m.text");
        assert_eq!(plain.get("formatted_body"), None);
        let formatted = content(&render("*one*")).to_content();
        assert_eq!(formatted["body"], "*one*");
        assert_eq!(formatted["formatted_body"], "<em>one</em>");
        let said = notice("**stop**").to_content();
        assert_eq!(said["msgtype"], "m.notice");
        assert_eq!(said["formatted_body"], "<strong>stop</strong>");
        assert_eq!(notice("stop").to_content().get("formatted_body"), None);
    }
}
