//! `letta-matrix fake matrix`

use std::{collections::HashSet, path::PathBuf};

use clap::Args;
use matrix_client::{
    fake::{
        FakeMatrix, RateLimits, RegistrationPolicy, TEST_APPSERVICE_ID, TEST_AS_TOKEN, TEST_SHARED_SECRET,
    },
    ruma::{OwnedServerName, api::appservice::Registration},
};
use store::{Clock, SystemClock};

use super::{Common, serve};
use crate::{failure::Failure, registration};

/// A homeserver: accounts, rooms, events, sync, media and application services, as Synapse has them
#[derive(Debug, Args)]
pub(super) struct MatrixArgs {
    #[command(flatten)]
    common: Common,
    /// Its name: what stands behind the colon of its users' ids
    #[arg(long, value_name = "NAME", default_value = "matrix.test")]
    server_name: OwnedServerName,
    /// A registration file of an application service, in YAML; may be given more than once. Events are pushed to its url
    #[arg(long, value_name = "FILE")]
    as_registration: Vec<PathBuf>,
    /// Start with what all tests share: the application service letta-bridge, @admin and @agent_001, and
    /// !testroom:matrix.test. The password is "password-for-tests", the as_token "as-token-for-tests"
    #[arg(long, conflicts_with = "server_name")]
    test_data: bool,
    /// Let nobody register but application services
    #[arg(long)]
    closed: bool,
    /// Limit requests as Synapse does unless configured otherwise
    #[arg(long)]
    rate_limits: bool,
    /// Allow registration with this shared secret
    #[arg(long, value_name = "SECRET")]
    shared_secret: Option<String>,
}

pub(super) async fn run(args: &MatrixArgs) -> Result<(), Failure> {
    let registrations = args
        .as_registration
        .iter()
        .map(|path| registration::read(path))
        .collect::<Result<Vec<_>, _>>()?;
    let mut seen: HashSet<&str> = HashSet::new();
    if args.test_data {
        seen.extend([TEST_APPSERVICE_ID, TEST_AS_TOKEN]);
    }
    for (registration, path) in registrations.iter().zip(&args.as_registration) {
        if !seen.insert(&registration.id) || !seen.insert(&registration.as_token) {
            return Err(Failure::new(format!(
                "{} has the id or the as_token of another registration",
                path.display()
            )));
        }
    }
    serve(args.common.listen, |listener, url, stopped| {
        fake_servers::matrix::serve(listener, homeserver(args, registrations, url), stopped)
    })
    .await
}

fn homeserver(args: &MatrixArgs, registrations: Vec<Registration>, url: String) -> FakeMatrix {
    let mut builder = FakeMatrix::builder(args.server_name.as_str())
        .seed(args.common.seed)
        .base_url(url)
        .epoch_ms(u64::try_from(SystemClock.now().as_millisecond()).unwrap_or_default());
    let shared_secret = args
        .shared_secret
        .as_deref()
        .or(args.test_data.then_some(TEST_SHARED_SECRET));
    if let Some(secret) = shared_secret {
        builder = builder.shared_secret(secret.into());
    }
    if args.closed {
        builder = builder.registration(RegistrationPolicy::Closed);
    }
    if args.rate_limits {
        builder = builder.rate_limits(RateLimits::Synapse);
    }
    if args.test_data {
        builder = builder.test_appservice();
    }
    for registration in registrations {
        builder = builder.appservice(registration);
    }
    let matrix = builder.build();
    if args.test_data {
        matrix.add_admin("admin");
        let agent = matrix.add_appservice_user(TEST_APPSERVICE_ID, "agent_001");
        matrix.add_room("!testroom:matrix.test", "@admin:matrix.test", &[agent.as_str()]);
    }
    matrix
}
