//! What can happen at a call.

use std::time::Duration;

use letta_client::LettaErrorKind;
use matrix_client::MatrixErrorKind;
use ruma::OwnedUserId;

use super::{MOST_EVENTS, Stage};
use crate::faulty_store::{FaultyStore, StoreFault};

/// A call of the service: the nth of its method (and user), or of all calls of the store.
#[derive(Debug, Clone)]
pub enum Site {
    Matrix(&'static str, Option<OwnedUserId>, u32),
    Letta(&'static str, u32),
    Store(u64),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Disturbance {
    MatrixFails(MatrixErrorKind),
    /// It has its effect, and the answer is lost.
    MatrixFailsAfter(MatrixErrorKind),
    LettaFails(LettaErrorKind),
    LettaFailsAfter(LettaErrorKind),
    /// The stream that it answers with breaks behind so many events.
    StreamBreaks(usize),
    Store(StoreFault),
    /// The process dies with the call under way, before it has its effect. That it dies after it is the same as dying
    /// at whatever comes next, which is another position; and behind the last one every case ends with.
    Killed,
}

/// The handle of a call at which the process stands still.
pub enum Standstill {
    Nothing,
    Matrix(matrix_client::fake::Hold),
    Letta(letta_client::fake::Hold),
    Store,
}

impl Standstill {
    pub async fn reached(&self, store: &FaultyStore) {
        match self {
            Self::Nothing => std::future::pending().await,
            Self::Matrix(hold) => hold.reached().await,
            Self::Letta(hold) => hold.reached().await,
            Self::Store => store.hung().await,
        }
    }
}

impl Disturbance {
    /// Everything that can happen at a call.
    pub fn of(site: &Site) -> Vec<Self> {
        match site {
            Site::Matrix(method, ..) => {
                let mut all: Vec<Self> = vec![Self::Killed];
                all.extend(matrix_before().into_iter().map(Self::MatrixFails));
                if !is_read(method) {
                    all.extend(matrix_after().into_iter().map(Self::MatrixFailsAfter));
                }
                all
            }
            Site::Letta(method, _) => {
                let mut all: Vec<Self> = vec![Self::Killed];
                all.extend(letta_before().into_iter().map(Self::LettaFails));
                if !is_read(method) {
                    all.extend(letta_after().into_iter().map(Self::LettaFailsAfter));
                }
                if matches!(*method, "send" | "decide" | "resume") {
                    all.extend((0..=MOST_EVENTS).map(Self::StreamBreaks));
                }
                all
            }
            Site::Store(_) => StoreFault::ALL.into_iter().map(Self::Store).collect(),
        }
    }

    /// Whether the process comes to its end with it.
    pub fn ends_the_process(&self) -> bool {
        matches!(
            self,
            Self::Killed | Self::Store(StoreFault::HangBefore | StoreFault::HangAfter)
        )
    }

    /// Has it happen.
    pub fn plan(&self, stage: &Stage, site: &Site) -> Standstill {
        match site {
            Site::Matrix(method, user, nth) => {
                let mut fault = matrix_client::fake::Fault::on(*method).skip(*nth);
                if let Some(user) = user {
                    fault = fault.user(user.clone());
                }
                let fault = match self {
                    Self::MatrixFails(kind) => fault.fail(kind.clone()),
                    Self::MatrixFailsAfter(kind) => fault.fail_after(kind.clone()),
                    _ => {
                        let (fault, hold) = fault.hold();
                        stage.world.matrix.plan(fault);
                        return Standstill::Matrix(hold);
                    }
                };
                stage.world.matrix.plan(fault);
                Standstill::Nothing
            }
            Site::Letta(method, nth) => {
                let fault = letta_client::fake::Fault::on(*method).skip(*nth);
                let fault = match self {
                    Self::LettaFails(LettaErrorKind::RateLimited) => fault.rate_limit(Duration::from_secs(3)),
                    Self::LettaFails(kind) => fault.fail(kind.clone()),
                    Self::LettaFailsAfter(kind) => fault.fail_after(kind.clone()),
                    Self::StreamBreaks(events) => fault.break_stream_after(*events),
                    _ => {
                        let (fault, hold) = fault.hold();
                        stage.world.letta.plan(fault);
                        return Standstill::Letta(hold);
                    }
                };
                stage.world.letta.plan(fault);
                Standstill::Nothing
            }
            Site::Store(number) => {
                if let Self::Store(fault) = self {
                    stage.store.plan(*number, *fault);
                }
                Standstill::Store
            }
        }
    }
}

/// Reading has no effect after which it could fail.
fn is_read(method: &str) -> bool {
    ["get_", "list_", "download_"]
        .iter()
        .any(|start| method.starts_with(start))
}

/// Failures without an effect.
fn matrix_before() -> [MatrixErrorKind; 4] {
    [
        MatrixErrorKind::Connect,
        MatrixErrorKind::Timeout,
        MatrixErrorKind::Server,
        MatrixErrorKind::LimitExceeded {
            retry_after: Some(Duration::from_secs(3)),
        },
    ]
}

/// Failures after which nobody knows whether the call had its effect: no answer in time, half a body.
fn matrix_after() -> [MatrixErrorKind; 2] {
    [MatrixErrorKind::Timeout, MatrixErrorKind::Interrupted]
}

fn letta_before() -> [LettaErrorKind; 4] {
    [
        LettaErrorKind::Connect,
        LettaErrorKind::Timeout,
        LettaErrorKind::Server,
        LettaErrorKind::RateLimited,
    ]
}

fn letta_after() -> [LettaErrorKind; 2] {
    [LettaErrorKind::Timeout, LettaErrorKind::Interrupted]
}
