//! `letta-matrix init`: writes the settings, and the registration where there is an application service.

mod answers;
mod files;
mod questions;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use clap::Args;

use self::answers::{Answers, Entrance};
use super::Global;
use crate::{
    config::DEFAULT_FILE,
    failure::{Failure, plain},
    output::to_stdout,
};

/// What the registration is called, beside the settings.
const REGISTRATION_FILE: &str = "letta-matrix-registration.yaml";
/// What the state is called, beside the settings.
const DATABASE_FILE: &str = "letta-matrix.db";

/// Write the settings and the registration of the application service
///
/// Asks what it was not told, on a terminal. Contacts nobody. LETTA_TOKEN, if it is set, goes into the settings. The files
/// hold secrets: only you can read them.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Address of the Letta server
    #[arg(long, value_name = "URL")]
    letta_url: Option<String>,
    /// Address of the homeserver's client API
    #[arg(long, value_name = "URL")]
    homeserver_url: Option<String>,
    /// The homeserver's name: what stands behind the colon of its users' ids
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Your Matrix id: you are invited to every room and may do everything
    #[arg(long, value_name = "@YOU:SERVER")]
    admin: Option<String>,
    /// Where the bridge listens for the homeserver [default: 127.0.0.1:8470]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The address under which the homeserver reaches that; without it, nothing is pushed to the bridge
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Without an application service: the bridge's own account on the homeserver, which must exist. Its password comes
    /// from MATRIX_PASSWORD, and how agents' accounts are made from MATRIX_REGISTRATION_TOKEN or
    /// MATRIX_REGISTRATION_SHARED_SECRET, if one is set
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    username: Option<String>,
    /// Folder for the files and the state [default: the present one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Replace files that exist, tokens included
    #[arg(long)]
    force: bool,
    /// Ask nothing: what was not told takes its default
    #[arg(short, long)]
    yes: bool,
}

/// The files, by their full paths.
#[derive(Debug)]
struct Places {
    config: PathBuf,
    registration: PathBuf,
    database: PathBuf,
}

pub(super) fn run(args: &InitArgs, global: &Global) -> Result<(), Failure> {
    let places = Places::new(args.dir.as_deref(), global.config.as_deref())?;
    if !args.force {
        // Whether there will be a registration is not known yet.
        places.must_be_free(args.username.is_none())?;
    }
    let asks = !args.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let answers = if asks {
        questions::ask(args)?
    } else {
        Answers::from_flags(args)?
    };
    files::write(&answers, &places, args.force)?;
    Ok(to_stdout(&next_steps(&answers, &places))?)
}

impl Places {
    fn new(dir: Option<&Path>, config: Option<&Path>) -> Result<Self, Failure> {
        let dir = dir.unwrap_or_else(|| config.and_then(Path::parent).unwrap_or(Path::new("")));
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|error| {
                Failure::new(format!(
                    "cannot use the folder {}: {}",
                    dir.display(),
                    plain(&error)
                ))
            })
        };
        let folder = if dir.as_os_str().is_empty() {
            absolute(Path::new("."))?
        } else {
            absolute(dir)?
        };
        if !folder.is_dir() {
            return Err(Failure::new(format!("there is no folder {}", folder.display()))
                .advice("Make it, or give --dir another one."));
        }
        Ok(Self {
            config: match config {
                Some(config) => absolute(config)?,
                None => folder.join(DEFAULT_FILE),
            },
            registration: folder.join(REGISTRATION_FILE),
            database: folder.join(DATABASE_FILE),
        })
    }

    fn must_be_free(&self, with_registration: bool) -> Result<(), Failure> {
        let registration = with_registration.then_some(&self.registration);
        match [Some(&self.config), registration]
            .into_iter()
            .flatten()
            .find(|path| path.symlink_metadata().is_ok())
        {
            Some(path) => Err(taken(path)),
            None => Ok(()),
        }
    }
}

fn taken(path: &Path) -> Failure {
    Failure::new(format!("{} exists already", path.display())).advice(
        "Give --dir another folder, or --force to replace it. New files have new tokens: the homeserver must then be \
         given the new registration.",
    )
}

fn next_steps(answers: &Answers, places: &Places) -> String {
    let here = std::env::current_dir().is_ok_and(|here| here.join(DEFAULT_FILE) == places.config);
    let program = if here {
        "letta-matrix".to_owned()
    } else {
        format!("letta-matrix --config {}", places.config.display())
    };
    let mut text = match &answers.entrance {
        Entrance::Appservice { .. } => format!(
            "Wrote {}\n  and {}\nBoth hold secrets: only you can read them.\n\n",
            places.config.display(),
            places.registration.display()
        ),
        Entrance::Account(_) => format!(
            "Wrote {}\nIt holds secrets: only you can read it. Keep a copy of account_key: without it the agents' \
             accounts are lost.\n\n",
            places.config.display()
        ),
    };
    if answers.letta_token.is_none() {
        text.push_str(&format!(
            "If Letta asks for a password, write it to {} as token, or set LETTA_TOKEN.\n\n",
            places.config.display()
        ));
    }
    if answers.admin.is_none() {
        text.push_str(&format!(
            "Nobody is invited yet: name yourself under [people] in {}.\n\n",
            places.config.display()
        ));
    }
    text.push_str(&match &answers.entrance {
        Entrance::Account(account) => format!(
            "What to do next:\n\
             1. Make the account {}, if there is none yet.\n\
             2. {program} doctor\n\
             3. {program} sync\n",
            account.username
        ),
        Entrance::Appservice { .. } => format!(
            "What to do next:\n\
         1. Give the homeserver the registration. For Synapse, copy it to where Synapse can read it and name it in\n   \
         homeserver.yaml:\n     \
         app_service_config_files:\n       \
         - {}\n\
         2. Restart the homeserver.\n\
         3. {program} doctor\n\
         4. {program} sync\n",
            places.registration.display()
        ),
    });
    text
}
