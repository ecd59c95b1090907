//! Being told to stop.

use std::future::pending;

/// Listens for the wish to stop, from the moment it is made: no signal is missed while work begins. When the system
/// does not let us listen, signals end the program at once, as they do without this.
#[derive(Debug)]
pub(crate) struct Stop {
    #[cfg(unix)]
    interrupt: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    terminate: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Stop {
    pub(crate) fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};

        Self {
            interrupt: signal(SignalKind::interrupt()).ok(),
            terminate: signal(SignalKind::terminate()).ok(),
        }
    }

    /// Ready when the program is told to stop, with the exit code that tells so: 130 for Ctrl-C, 143 for a request
    /// to terminate.
    pub(crate) async fn requested(mut self) -> u8 {
        tokio::select! {
            () = next(&mut self.interrupt) => 130,
            () = next(&mut self.terminate) => 143,
        }
    }
}

/// Listens for the wish to look again at everything, which SIGHUP stands for. Without it, that signal ends the program.
#[derive(Debug)]
pub(crate) struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    pub(crate) fn listen() -> Self {
        Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    /// Ready when it is wished. Several wishes at once may count as one.
    pub(crate) async fn received(&mut self) {
        #[cfg(unix)]
        next(&mut self.signal).await;
        #[cfg(not(unix))]
        pending::<()>().await;
    }
}

/// From now on a write that a limit of the system forbids (`LimitFSIZE=`, `ulimit -f`) fails as it does on a full disk.
/// Without this it ends the program by a signal.
pub(crate) fn outlive_file_size_limit() {
    // Whoever listened once is never ended by that signal again.
    #[cfg(all(unix, not(any(target_arch = "mips", target_arch = "mips64"))))]
    drop(tokio::signal::unix::signal(
        tokio::signal::unix::SignalKind::from_raw(SIGXFSZ),
    ));
}

/// The same on nearly every system and machine.
#[cfg(unix)]
const SIGXFSZ: i32 = 25;

#[cfg(unix)]
async fn next(signal: &mut Option<tokio::signal::unix::Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        pending::<()>().await;
    }
}

#[cfg(not(unix))]
impl Stop {
    pub(crate) fn listen() -> Self {
        Self {}
    }

    /// Ready when the program is told to stop, with the exit code that tells so.
    pub(crate) async fn requested(self) -> u8 {
        match tokio::signal::ctrl_c().await {
            Ok(()) => 130,
            Err(_) => pending().await,
        }
    }
}
