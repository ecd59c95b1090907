//! A bar on the terminal.

use std::time::Duration;

use agent_sync::{Step, SyncObserver};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use letta_client::AgentId;

use crate::output::one_line;

/// Draws the progress of a run on the standard error, if that is a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
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
        Self { bar }
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
    }
}
