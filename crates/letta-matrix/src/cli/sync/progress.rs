//! A bar on the terminal, or plain lines in a log.

use std::{
    io::IsTerminal as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use agent_sync::{Step, SyncObserver};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use letta_client::AgentId;
use tokio::time::Instant;

use crate::output::{one_line, to_stderr};

/// How often a log is told how far it is. A short run says nothing.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Draws the progress of a run on the standard error if that is a terminal, and else writes a line now and then.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    /// `None` where there is a bar, or nothing is to be shown.
    log: Option<Mutex<Log>>,
}

#[derive(Debug)]
struct Log {
    said_at: Instant,
    done: usize,
    to_do: usize,
}

impl Progress {
    pub(super) fn new(shown: bool) -> Self {
        let target = if shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(ProgressStyle::default_spinner());
        bar.set_message("listing the agents");
        bar.enable_steady_tick(Duration::from_millis(120));
        let log = (shown && !std::io::stderr().is_terminal()).then(|| {
            Mutex::new(Log {
                said_at: Instant::now(),
                done: 0,
                to_do: 0,
            })
        });
        Self { bar, log }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants: the fallback is for a typo.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl SyncObserver for Progress {
    fn planned(&self, agents: usize, to_do: usize) {
        if let Some(log) = &self.log {
            log.lock().unwrap_or_else(PoisonError::into_inner).to_do = to_do;
        }
        if to_do == 0 {
            return;
        }
        self.bar.set_length(to_do as u64);
        self.bar.set_style(style("{bar:30} {pos}/{len}  {msg}"));
        self.bar
            .set_message(format!("{agents} agents, {to_do} to bring home"));
    }

    fn agent_done(&self, _agent: &AgentId, name: &str, failed: Option<(Step, &str)>) {
        let name = one_line(name, 40);
        self.bar.set_message(if failed.is_some() {
            format!("{name} failed")
        } else {
            name
        });
        self.bar.inc(1);
        if let Some(log) = &self.log {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.done += 1;
            if log.said_at.elapsed() >= LOG_INTERVAL {
                log.said_at = Instant::now();
                to_stderr(&format!("{} of {} agents done", log.done, log.to_do));
            }
        }
    }
}
