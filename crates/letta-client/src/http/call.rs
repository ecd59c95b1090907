//! A request before it is one.

use reqwest::Method;
use serde_json::Value;

/// Whether a failed request may be sent again without asking the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Repeating it has the same effect as sending it once.
    Safe,
    /// Only when the first one certainly never left.
    OnlyIfUnsent,
}

/// A request to be made.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// What it is for, as in "could not …".
    pub(super) action: &'static str,
    pub(super) method: Method,
    /// Path below `/v1`.
    pub(super) path: Vec<&'a str>,
    /// Whether the path ends in a slash, as those of collections do.
    pub(super) slash: bool,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    pub(super) repeat: Repeat,
}

impl<'a> Call<'a> {
    /// A request that only reads.
    pub(super) fn get(action: &'static str, path: impl Into<Vec<&'a str>>) -> Self {
        Self::new(action, Method::GET, path, Repeat::Safe)
    }

    /// Any request.
    pub(super) fn new(
        action: &'static str,
        method: Method,
        path: impl Into<Vec<&'a str>>,
        repeat: Repeat,
    ) -> Self {
        Self {
            action,
            method,
            path: path.into(),
            slash: false,
            query: Vec::new(),
            body: None,
            repeat,
        }
    }

    /// Ends the path in a slash. Without it a collection answers with a redirect.
    pub(super) fn slash(mut self) -> Self {
        self.slash = true;
        self
    }

    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn query_opt(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Whether it changes something on the server.
    pub(super) fn writes(&self) -> bool {
        self.method != Method::GET
    }
}
