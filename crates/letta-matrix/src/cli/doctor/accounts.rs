//! Accounts in place of an application service: whether the bridge's own user can log in, and agents' accounts be made.
//!
//! Nothing is logged in to: each login makes a token, and doctor changes nothing.

use accounts::PasswordAccounts;
use matrix_client::{LoginFlow, MatrixApi, MatrixErrorKind};

use super::{
    Doctor,
    appservice::Sender,
    finding::{Finding, Report},
    shown, unused_name,
};
use crate::{
    compose,
    config::{
        ACCOUNT_KEY, ACCOUNT_REGISTRATION, AccountRegistration, AccountsMode, HOMESERVER_URL, MODE,
        REGISTRATION_SHARED_SECRET, USER_PREFIX, USERNAME,
    },
    failure,
};

const BOT: &str = "bot_account";
const REGISTRATION: &str = "account_registration";

/// The accounts with the tokens that were kept; `None` where there is no state, or it cannot be read.
pub(super) async fn open(doctor: &Doctor<'_>, mode: &AccountsMode) -> Option<PasswordAccounts> {
    let state = compose::look_at_state(doctor.config).await.ok()??;
    Some(compose::password_accounts(mode, &doctor.matrix, state.store()))
}

/// Answers whom the homeserver takes us for, if we were logged in before.
pub(super) async fn check(
    doctor: &Doctor<'_>,
    mode: &AccountsMode,
    accounts: Option<&PasswordAccounts>,
    report: &mut Report,
) -> Option<Sender> {
    report.add(registration(doctor, mode).await);
    let bot = &mode.bot.value;
    let kept = match accounts {
        Some(accounts) => accounts.kept_session(bot).await,
        None => Ok(None),
    };
    let session = match kept {
        Ok(Some(session)) => session,
        Ok(None) => {
            report.add(login(doctor, mode).await);
            return None;
        }
        Err(error) => {
            report.add(
                Finding::problem(BOT, error.to_string())
                    .settings(&[&ACCOUNT_KEY])
                    .advice(format!(
                        "Set {} to the key with which the state was written.",
                        mode.key.name()
                    )),
            );
            return None;
        }
    };
    match doctor.matrix.whoami(&session).await {
        Ok(known) => {
            report.add(Finding::ok(BOT, format!("{} is logged in", known.user_id)));
            Some(Sender {
                server_name: known.user_id.server_name().to_owned(),
                session,
            })
        }
        Err(error) if matches!(error.kind(), MatrixErrorKind::Unauthorized { .. }) => {
            report.add(
                Finding::warning(BOT, format!("the homeserver ended the session of {bot}"))
                    .advice("The next `letta-matrix sync` logs in again, once."),
            );
            report.add(login(doctor, mode).await);
            None
        }
        Err(error) => {
            let failure = failure::of_matrix(&error, doctor.config);
            report.add(Finding::failed(BOT, &failure).settings(&[&HOMESERVER_URL]));
            None
        }
    }
}

/// Whether the homeserver lets anybody log in with a password.
async fn login(doctor: &Doctor<'_>, mode: &AccountsMode) -> Finding {
    let address = shown(&doctor.config.homeserver_url.value);
    match doctor.matrix.login_flows().await {
        Ok(flows) if flows.contains(&LoginFlow::Password) => Finding::skipped(
            BOT,
            format!(
                "the first sync logs in as {}, as {} and {} say: only that shows whether the password is right",
                mode.bot.value,
                mode.bot.name(),
                mode.password.name()
            ),
        ),
        Ok(_) => Finding::problem(BOT, format!("{address} lets nobody log in with a password"))
            .settings(&[&MODE, &USERNAME])
            .advice(format!(
                "Allow it in the homeserver, or install an application service and set {} to appservice.",
                doctor.name(&MODE)
            )),
        Err(error) => {
            Finding::failed(BOT, &failure::of_matrix(&error, doctor.config)).settings(&[&HOMESERVER_URL])
        }
    }
}

/// Whether agents' accounts can be made. The name that is asked for is nobody's.
async fn registration(doctor: &Doctor<'_>, mode: &AccountsMode) -> Finding {
    if let AccountRegistration::SharedSecret(secret) = &mode.registration {
        return Finding::skipped(
            REGISTRATION,
            format!(
                "accounts are made with {}: only making one shows whether it is right",
                secret.name()
            ),
        );
    }
    let prefix = doctor.value(&USER_PREFIX);
    let Ok(unused) = unused_name() else {
        return Finding::skipped(REGISTRATION, "the operating system has no randomness");
    };
    let setting = doctor.name(&ACCOUNT_REGISTRATION);
    match doctor.matrix.is_username_available(&format!("{prefix}{unused}")).await {
        Ok(_) => Finding::ok(
            REGISTRATION,
            format!("users named {prefix}… can be registered"),
        ),
        Err(error) => match error.kind() {
            MatrixErrorKind::Forbidden => Finding::problem(
                REGISTRATION,
                format!("registration is closed: {}", error.message()),
            )
            .settings(&[&ACCOUNT_REGISTRATION, &REGISTRATION_SHARED_SECRET])
            .advice(format!(
                "Set {} to the registration_shared_secret of Synapse and {setting} to shared-secret, or open the \
                 registration, with registration tokens perhaps.",
                doctor.name(&REGISTRATION_SHARED_SECRET)
            )),
            MatrixErrorKind::Exclusive | MatrixErrorKind::InvalidUsername => Finding::problem(
                REGISTRATION,
                format!("users named {prefix}… cannot be registered: {}", error.message()),
            )
            .settings(&[&USER_PREFIX])
            .advice(format!("Set {} to something else.", doctor.name(&USER_PREFIX))),
            MatrixErrorKind::LimitExceeded { .. } => {
                Finding::skipped(REGISTRATION, "the homeserver limits this question: try again later")
            }
            _ => Finding::failed(REGISTRATION, &failure::of_matrix(&error, doctor.config))
                .settings(&[&HOMESERVER_URL]),
        },
    }
}
