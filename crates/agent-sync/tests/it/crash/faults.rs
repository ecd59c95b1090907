//! What can happen at a call.

use std::time::Duration;

use letta_client::LettaErrorKind;
use matrix_client::MatrixErrorKind;

use crate::{faulty_store::StoreFault, world::World};

/// A call of the run: the nth of its method, or of all calls of the store.
#[derive(Debug, Clone, Copy)]
pub enum Site {
    Matrix(&'static str, u32),
    Letta(&'static str, u32),
    Store(u64),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Disturbance {
    MatrixFails(MatrixErrorKind),
    /// It has its effect, and the answer is lost.
    MatrixFailsAfter(MatrixErrorKind),
    /// The homeserver makes only half a room.
    HalfARoom,
    LettaFails(LettaErrorKind),
    Store(StoreFault),
    /// The process dies with the call under way, before it has its effect. That it dies after it is the same as dying
    /// at whatever comes next, which is another position.
    Killed,
    /// The process hangs in the call, is taken for dead, and wakes up when another run is over.
    Stalled,
}

/// The handle of a call at which the process stands still.
pub enum Standstill {
    Nothing,
    Matrix(matrix_client::fake::Hold),
    Letta(letta_client::fake::Hold),
    Store,
}

impl Standstill {
    pub async fn reached(&self, world: &World) {
        match self {
            Self::Nothing => std::future::pending().await,
            Self::Matrix(hold) => hold.reached().await,
            Self::Letta(hold) => hold.reached().await,
            Self::Store => world.store.hung().await,
        }
    }

    pub fn release(self) {}
}

impl Disturbance {
    /// Everything that can happen at a call.
    pub fn of(site: Site) -> Vec<Self> {
        match site {
            Site::Matrix(method, _) => {
                let mut all: Vec<Self> = before().into_iter().map(Self::MatrixFails).collect();
                if !is_read(method) {
                    all.extend(after().into_iter().map(Self::MatrixFailsAfter));
                }
                all.extend([Self::Killed, Self::Stalled]);
                if method == "create_room" {
                    all.push(Self::HalfARoom);
                }
                all
            }
            Site::Letta(..) => {
                use LettaErrorKind as Kind;
                let kinds = [
                    Kind::Connect,
                    Kind::Timeout,
                    Kind::Interrupted,
                    Kind::Unauthorized,
                    Kind::RateLimited,
                    Kind::Server,
                    Kind::Decode,
                    Kind::NotLetta,
                ];
                let mut all: Vec<Self> = kinds.into_iter().map(Self::LettaFails).collect();
                all.extend([Self::Killed, Self::Stalled]);
                all
            }
            Site::Store(_) => StoreFault::ALL.into_iter().map(Self::Store).collect(),
        }
    }

    /// Whether the run does not come to an end by itself.
    pub fn ends_the_process(&self) -> bool {
        matches!(
            self,
            Self::Killed | Self::Stalled | Self::Store(StoreFault::HangBefore | StoreFault::HangAfter)
        )
    }

    /// Has it happen.
    pub fn plan(&self, world: &World, site: Site) -> Standstill {
        match site {
            Site::Matrix(method, nth) => {
                let fault = matrix_client::fake::Fault::on(method).skip(nth);
                let fault = match self {
                    Self::MatrixFails(kind) => fault.fail(kind.clone()),
                    Self::MatrixFailsAfter(kind) => fault.fail_after(kind.clone()),
                    Self::HalfARoom => fault.leave_half_made(),
                    _ => {
                        let (fault, hold) = fault.hold();
                        world.matrix.plan(fault);
                        return Standstill::Matrix(hold);
                    }
                };
                world.matrix.plan(fault);
                Standstill::Nothing
            }
            Site::Letta(method, nth) => {
                let fault = letta_client::fake::Fault::on(method).skip(nth);
                if let Self::LettaFails(kind) = self {
                    world.letta.plan(fault.fail(kind.clone()));
                    return Standstill::Nothing;
                }
                let (fault, hold) = fault.hold();
                world.letta.plan(fault);
                Standstill::Letta(hold)
            }
            Site::Store(nth) => {
                if let Self::Store(fault) = self {
                    world.store.plan(nth, *fault);
                }
                Standstill::Store
            }
        }
    }
}

/// Reading has no effect after which it could fail.
fn is_read(method: &str) -> bool {
    ["get_", "list_", "resolve_", "whoami"]
        .iter()
        .any(|start| method.starts_with(start))
}

/// Failures without an effect: of the way, of a proxy, of the server, and refusals.
fn before() -> [MatrixErrorKind; 8] {
    [
        MatrixErrorKind::Connect,
        MatrixErrorKind::Timeout,
        MatrixErrorKind::Server,
        bad_gateway(),
        MatrixErrorKind::Decode { path: String::new() },
        MatrixErrorKind::LimitExceeded {
            retry_after: Some(Duration::from_secs(3)),
        },
        MatrixErrorKind::Forbidden,
        MatrixErrorKind::Unauthorized { soft_logout: false },
    ]
}

/// Failures after which nobody knows whether the call had its effect: no answer in time, half a body, a 500, a proxy's
/// 502 page.
fn after() -> [MatrixErrorKind; 4] {
    [
        MatrixErrorKind::Timeout,
        MatrixErrorKind::Interrupted,
        MatrixErrorKind::Server,
        bad_gateway(),
    ]
}

fn bad_gateway() -> MatrixErrorKind {
    MatrixErrorKind::NotMatrix {
        content_type: Some("text/html".to_owned()),
        excerpt: "<html>502 Bad Gateway".to_owned(),
    }
}
