//! Every setting that is no secret as a flag, made from the list of settings.

use std::collections::HashMap;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::SETTINGS;

/// Settings from the command line, by key.
#[derive(Debug, Clone, Default)]
pub(super) struct SettingFlags(pub(super) HashMap<&'static str, String>);

impl Args for SettingFlags {
    fn augment_args(mut command: Command) -> Command {
        for setting in SETTINGS {
            let Some(flag) = setting.flag else { continue };
            let mut help = format!("{} [env: {}]", setting.about, setting.env);
            if let Some(default) = setting.default {
                help.push_str(&format!(" [default: {default}]"));
            }
            command = command.arg(
                Arg::new(setting.key)
                    .long(flag)
                    .value_name(setting.value)
                    .help(help)
                    .help_heading("Settings")
                    .allow_hyphen_values(false),
            );
        }
        command.after_help(
            "Secrets (LETTA_TOKEN, MATRIX_AS_TOKEN) come from the environment or the file, not from the command line, \
             where others can read them.",
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS.iter().filter(|setting| setting.flag.is_some()) {
            if let Some(value) = matches.get_one::<String>(setting.key) {
                self.0.insert(setting.key, value.clone());
            }
        }
        Ok(())
    }
}
