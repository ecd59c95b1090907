//! Errors that say where they happened.

use std::{error::Error, fmt, panic::Location};

use crate::LettaError;

/// The result of a case: `?` works on any error and keeps the line.
pub type CaseResult<T = ()> = Result<T, CaseError>;

/// An error on its way out of a case, with the place of the `?` that let it out.
pub struct CaseError(String);

impl<E: Error> From<E> for CaseError {
    #[track_caller]
    fn from(error: E) -> Self {
        let mut text = format!("{}: {error}", Location::caller());
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(&format!("\n  because: {cause}"));
            source = cause.source();
        }
        Self(text)
    }
}

impl CaseError {
    /// A failure in words.
    #[track_caller]
    #[must_use]
    pub fn new(text: impl fmt::Display) -> Self {
        Self(format!("{}: {text}", Location::caller()))
    }
}

/// What a failing `#[test]` prints.
impl fmt::Debug for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// For calls that have to fail.
pub(super) trait Failure {
    /// The error; a success is the case's.
    fn failure(self) -> CaseResult<LettaError>;
}

impl<T: fmt::Debug> Failure for crate::Result<T> {
    #[track_caller]
    fn failure(self) -> CaseResult<LettaError> {
        match self {
            Ok(value) => Err(CaseError::new(format!("it succeeded: {value:?}"))),
            Err(error) => Ok(error),
        }
    }
}
