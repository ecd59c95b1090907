//! Writing to the person or program that called us.

use std::io::{self, Write};

use crate::failure::Failure;

/// Writes to the standard output. Whoever read it and went away (`| head`) has read enough: that is no failure.
pub(crate) fn to_stdout(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// The standard output of a conversation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    interactive: bool,
}

impl Out {
    /// `interactive`: a person reads and types.
    pub(crate) fn new(interactive: bool) -> Self {
        Self { interactive }
    }

    /// Whether a person reads and types.
    pub(crate) fn interactive(self) -> bool {
        self.interactive
    }

    /// Writes a line.
    pub(crate) fn line(self, line: &str) -> Result<(), Failure> {
        Ok(to_stdout(&format!("{line}\n"))?)
    }

    /// Asks for input on the same line.
    pub(crate) fn prompt(self, prompt: &str) -> Result<(), Failure> {
        Ok(to_stdout(prompt)?)
    }
}

/// Writes a line to the standard error. There is nobody left to tell when that fails.
pub(crate) fn to_stderr(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Foreign text as one line of at most `max` characters that cannot move a cursor, hide or turn the text around it.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == max {
            line.push('…');
            break;
        }
        line.push(match character {
            '\u{200b}'
            | '\u{200c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => '\u{fffd}',
            _ if character.is_control() => '\u{fffd}',
            _ => character,
        });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_in_its_place() {
        assert_eq!(
            one_line("\u{1b}[2Jgone\nnext\u{202e}txet", 100),
            "\u{fffd}[2Jgone\u{fffd}next\u{fffd}txet"
        );
        assert_eq!(one_line("👩‍🔬 Ada", 100), "👩‍🔬 Ada");
        assert_eq!(one_line(&"ä".repeat(50), 10), format!("{}…", "ä".repeat(10)));
    }
}
