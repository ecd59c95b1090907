//! A decoder for server-sent events, as <https://html.spec.whatwg.org/multipage/server-sent-events.html> has them.
//!
//! Fed with bytes however they arrive, it yields the same events for every way to cut the stream. Fields that only
//! a browser needs (`id`, `retry`) are dropped.

use std::mem;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SseEvent {
    /// Its name, if it has one.
    pub(super) name: Option<String>,
    /// Its data lines, joined by line feeds.
    pub(super) data: String,
}

/// A line or an event is longer than allowed. The decoder is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

/// The state between two pieces of a stream.
#[derive(Debug)]
pub(super) struct SseDecoder {
    limit: usize,
    line: Vec<u8>,
    /// The line before ended in CR: a LF right after belongs to it.
    after_cr: bool,
    /// No line has ended yet: it may begin with a byte order mark.
    at_start: bool,
    name: String,
    data: String,
    has_data: bool,
}

impl SseDecoder {
    /// A decoder that accepts lines and events of up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            after_cr: false,
            at_start: true,
            name: String::new(),
            data: String::new(),
            has_data: false,
        }
    }

    /// Takes the next piece and appends the events it completes. What is left of an event when the stream ends was
    /// cut off and is nobody's business.
    pub(super) fn push(&mut self, mut bytes: &[u8], events: &mut Vec<SseEvent>) -> Result<(), TooLong> {
        while let Some((&first, rest)) = bytes.split_first() {
            if mem::take(&mut self.after_cr) && first == b'\n' {
                bytes = rest;
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + piece.len() > self.limit {
                return Err(TooLong);
            }
            self.line.extend_from_slice(piece);
            let Some(end) = end else { break };
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            let line = mem::take(&mut self.line);
            let outcome = self.end_line(&line, events);
            // Keep the allocation for the next line.
            self.line = line;
            self.line.clear();
            outcome?;
        }
        Ok(())
    }

    fn end_line(&mut self, line: &[u8], events: &mut Vec<SseEvent>) -> Result<(), TooLong> {
        let line = match line.strip_prefix(b"\xEF\xBB\xBF") {
            Some(rest) if self.at_start => rest,
            _ => line,
        };
        self.at_start = false;
        if line.is_empty() {
            let name = mem::take(&mut self.name);
            let data = mem::take(&mut self.data);
            if mem::take(&mut self.has_data) {
                events.push(SseEvent {
                    name: Some(name).filter(|name| !name.is_empty()),
                    data,
                });
            }
            return Ok(());
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &line[..0]),
        };
        match field {
            b"data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(&String::from_utf8_lossy(value));
                if self.data.len() > self.limit {
                    return Err(TooLong);
                }
            }
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_in(pieces: &[&[u8]]) -> Vec<SseEvent> {
        let mut decoder = SseDecoder::new(64 * 1024);
        let mut events = Vec::new();
        for piece in pieces {
            decoder.push(piece, &mut events).unwrap();
        }
        events
    }

    fn decode(text: &str) -> Vec<SseEvent> {
        decode_in(&[text.as_bytes()])
    }

    fn event(data: &str) -> SseEvent {
        SseEvent {
            name: None,
            data: data.to_owned(),
        }
    }

    fn named(name: &str, data: &str) -> SseEvent {
        SseEvent {
            name: Some(name.to_owned()),
            data: data.to_owned(),
        }
    }

    #[test]
    fn every_kind_of_line_end_is_understood() {
        for end in ["\n", "\r", "\r\n"] {
            let text = "data: a{}data: b{}{}event: error{}data:c{}{}".replace("{}", end);
            assert_eq!(decode(&text), [event("a\nb"), named("error", "c")], "{end:?}");
        }
    }

    #[test]
    fn comments_other_fields_and_empty_events_are_dropped() {
        assert_eq!(
            decode(": keep-alive\n\nid: 7\nretry: 10\nunknown: x\nnocolon\n\nevent: lonely\n\ndata: a\n\n"),
            [event("a")]
        );
    }

    #[test]
    fn only_one_space_after_the_colon_is_cut() {
        assert_eq!(decode("data:  a: b \n\n"), [event(" a: b ")]);
        assert_eq!(decode("data\n\n"), [event("")]);
    }

    #[test]
    fn a_byte_order_mark_is_dropped_only_at_the_start() {
        assert_eq!(
            decode("\u{feff}data: a\n\n\u{feff}data: b\n\ndata: c\n\n"),
            [event("a"), event("c")]
        );
    }

    #[test]
    fn an_unfinished_event_is_not_an_event() {
        assert_eq!(decode("data: a\n\ndata: b\n"), [event("a")]);
        assert_eq!(decode("data: a\n\ndata: b"), [event("a")]);
    }

    #[test]
    fn what_is_not_utf8_is_replaced() {
        assert_eq!(decode_in(&[b"data: a\xFFb\n", b"\n"]), [event("a\u{fffd}b")]);
        // A character cut in two by the network is not damaged.
        assert_eq!(
            decode_in(&[b"data: \xF0\x9F", b"\xA6\x99\n\n"]),
            [event("\u{1f999}")]
        );
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut decoder = SseDecoder::new(1024);
        let mut events = Vec::new();
        let piece = [b'x'; 1000];
        assert_eq!(decoder.push(&piece, &mut events), Ok(()));
        assert_eq!(decoder.push(&piece, &mut events), Err(TooLong));
    }

    #[test]
    fn an_event_of_endless_lines_is_refused() {
        let mut decoder = SseDecoder::new(1024);
        let mut events = Vec::new();
        let outcome = (0..1000).try_for_each(|_| decoder.push(b"data: 0123456789\n", &mut events));
        assert_eq!(outcome, Err(TooLong));
        assert!(events.is_empty());
    }

    /// The standard's rules, applied to the whole text at once: slow, obvious, and independent of the decoder.
    fn reference(bytes: &[u8]) -> Vec<SseEvent> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
        let mut index = 0;
        while index < bytes.len() {
            match bytes[index] {
                b'\r' => {
                    lines.push(Vec::new());
                    if bytes.get(index + 1) == Some(&b'\n') {
                        index += 1;
                    }
                }
                b'\n' => lines.push(Vec::new()),
                other => lines.last_mut().unwrap().push(other),
            }
            index += 1;
        }
        // The last line has no end.
        lines.pop();
        let mut events = Vec::new();
        let mut name = String::new();
        let mut data: Option<String> = None;
        for line in lines {
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.is_empty() {
                let name = mem::take(&mut name);
                if let Some(data) = data.take() {
                    events.push(SseEvent {
                        name: (!name.is_empty()).then_some(name),
                        data,
                    });
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => {
                    data = Some(match data {
                        Some(before) => format!("{before}\n{value}"),
                        None => value.to_owned(),
                    });
                }
                "event" => name = value.to_owned(),
                _ => {}
            }
        }
        events
    }

    /// Text with many line ends, fields and half characters, so that the interesting cases are common.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\n\n".to_vec()),
            Just(b"data: ".to_vec()),
            Just(b"data:".to_vec()),
            Just(b"data".to_vec()),
            Just(b"event: error".to_vec()),
            Just(b": comment".to_vec()),
            Just(b"\xEF\xBB\xBF".to_vec()),
            Just("{\"content\":\"\u{1f999} é\"}".as_bytes().to_vec()),
            Just(b"\xF0\x9F".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..6),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_way_to_cut_a_stream_gives_the_same_events(
            bytes in stream(),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            let whole = decode_in(&[&bytes]);
            prop_assert_eq!(decode_in(&pieces), whole.clone());
            prop_assert_eq!(decode_in(&bytes.chunks(1).collect::<Vec<_>>()), whole.clone());
            prop_assert_eq!(reference(&bytes), whole);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512), limit in 0_usize..64) {
            let mut decoder = SseDecoder::new(limit);
            let mut events = Vec::new();
            for piece in bytes.chunks(7) {
                if decoder.push(piece, &mut events).is_err() {
                    break;
                }
            }
        }
    }
}
