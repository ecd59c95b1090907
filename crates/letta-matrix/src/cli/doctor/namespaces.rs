//! Which names the homeserver leaves to us. Every probe is about a name that nobody has, and makes nothing.

use std::time::Duration;

use matrix_client::{
    MatrixApi, MatrixError, MatrixErrorKind, Session,
    ruma::{OwnedRoomAliasId, OwnedUserId, RoomAliasId, UserId},
};
use store::Binding;

use super::{
    Doctor,
    appservice::Sender,
    finding::{Finding, Report},
    unused_name,
};
use crate::{
    config::{SPACE_ALIAS, USER_PREFIX},
    registration::{aliases_of, exactly, users_of},
};

/// Names that begin as no agent's does, unless somebody chose exactly that prefix.
const OUTSIDE: [&str; 2] = ["letta_matrix_doctor_outside", "outside_of_letta_matrix"];

pub(super) async fn check(
    doctor: &Doctor<'_>,
    sender: &Sender,
    bindings: Option<&[Binding]>,
    report: &mut Report,
) {
    let prefix = doctor.value(&USER_PREFIX);
    let outside = OUTSIDE
        .into_iter()
        .find(|name| !name.starts_with(&prefix))
        .unwrap_or(OUTSIDE[0]);
    let probe = Probe {
        doctor,
        sender,
        prefix: &prefix,
        outside,
    };
    probe.users(report).await;
    probe.aliases(report).await;
    // Before the first sync: afterwards the space itself shows it.
    if bindings.is_none_or(<[Binding]>::is_empty) {
        probe.space(report).await;
    }
}

struct Probe<'a> {
    doctor: &'a Doctor<'a>,
    sender: &'a Sender,
    prefix: &'a str,
    outside: &'a str,
}

/// Where the homeserver puts a name.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Inside,
    Outside,
    Unclear(String),
}

impl Probe<'_> {
    async fn users(&self, report: &mut Report) {
        let name = format!("{}doctor_check", self.prefix);
        let regex = users_of(self.prefix, &self.sender.server_name);
        let setting = self.doctor.name(&USER_PREFIX);
        match self.place_of_user(&name).await {
            Place::Inside => report.add(Finding::ok(
                "user_namespace",
                format!("users named {}… are ours to register", self.prefix),
            )),
            Place::Outside => {
                report.add(
                    Finding::problem(
                        "user_namespace",
                        format!(
                            "the homeserver does not let us register users named {}…, as {setting} says",
                            self.prefix
                        ),
                    )
                    .settings(&[&USER_PREFIX])
                    .advice(format!(
                        "Put {{ exclusive: true, regex: '{regex}' }} under namespaces, users in the registration \
                         file and restart the homeserver, or change {setting}."
                    )),
                );
                return;
            }
            Place::Unclear(why) => {
                report.add(Finding::skipped("user_namespace", why));
                return;
            }
        }
        report.add(self.exclusive(&name, &regex).await);
        if self.place_of_user(self.outside).await == Place::Inside {
            report.add(
                Finding::warning(
                    "user_namespace_width",
                    "the registration lets us act for users that are no agents: the namespace of users is wider than \
                     needed, and so is the harm that a stolen token does",
                )
                .settings(&[&USER_PREFIX])
                .advice(format!(
                    "Narrow namespaces, users in the registration file to '{regex}' and restart the homeserver."
                )),
            );
        }
    }

    async fn place_of_user(&self, localpart: &str) -> Place {
        let Some(user) = self.user(localpart) else {
            return Place::Unclear(format!("{localpart} makes no user id"));
        };
        let token = self.sender.session.token().clone();
        let answer = self
            .doctor
            .matrix
            .whoami(&Session::as_appservice_user(user, token))
            .await;
        match answer {
            Ok(_) => Place::Inside,
            Err(error) => place_of_refused(&error),
        }
    }

    /// Whether ordinary users are kept out.
    async fn exclusive(&self, name: &str, regex: &str) -> Finding {
        let check = "user_namespace_exclusive";
        let mut answer = self.doctor.matrix.is_username_available(name).await;
        // Homeservers allow this call about once a second.
        for _ in 0..3 {
            let Some(wait) = answer.as_ref().err().and_then(MatrixError::retry_after) else {
                break;
            };
            tokio::time::sleep(wait.min(Duration::from_secs(5))).await;
            answer = self.doctor.matrix.is_username_available(name).await;
        }
        match answer {
            Err(error) if *error.kind() == MatrixErrorKind::Exclusive => Finding::ok(
                check,
                format!("nobody else can register users named {}…", self.prefix),
            ),
            Err(error) if *error.kind() == MatrixErrorKind::Forbidden => {
                Finding::ok(check, "nobody can register by themselves on this homeserver")
            }
            Ok(_) => Finding::problem(
                check,
                format!(
                    "anybody can register a user named {}… and so take the place of an agent",
                    self.prefix
                ),
            )
            .settings(&[&USER_PREFIX])
            .advice(format!(
                "Write exclusive: true beside '{regex}' in the registration file and restart the homeserver."
            )),
            Err(error) => Finding::skipped(
                check,
                format!("the homeserver does not say who may register: {error}"),
            ),
        }
    }

    async fn aliases(&self, report: &mut Report) {
        let check = "alias_namespace";
        let regex = aliases_of(self.prefix, &self.sender.server_name);
        let setting = self.doctor.name(&USER_PREFIX);
        let unused = match unused_name() {
            Ok(unused) => unused,
            Err(error) => {
                report.add(Finding::skipped(
                    check,
                    format!("no random name can be made: {error}"),
                ));
                return;
            }
        };
        let place = self
            .place_of_alias(&format!("{}doctor_check_{unused}", self.prefix))
            .await;
        report.add(match &place {
            Place::Inside => Finding::ok(check, format!("aliases named {}… are ours to make", self.prefix)),
            Place::Outside => Finding::problem(
                check,
                format!(
                    "the homeserver does not let us make aliases named {}…, as {setting} says",
                    self.prefix
                ),
            )
            .settings(&[&USER_PREFIX])
            .advice(format!(
                "Put {{ exclusive: true, regex: '{regex}' }} under namespaces, aliases in the registration file and \
                 restart the homeserver, or change {setting}."
            )),
            Place::Unclear(why) => Finding::skipped(check, why.clone()),
        });
        if place == Place::Inside
            && self.place_of_alias(&format!("{}_{unused}", self.outside)).await == Place::Inside
        {
            report.add(
                Finding::warning(
                    "alias_namespace_width",
                    "the registration lets us make aliases that are no agents': the namespace of aliases is wider \
                     than needed",
                )
                .settings(&[&USER_PREFIX])
                .advice(format!(
                    "Narrow namespaces, aliases in the registration file to '{regex}' and restart the homeserver."
                )),
            );
        }
    }

    async fn space(&self, report: &mut Report) {
        let check = "space_alias";
        let localpart = self.doctor.value(&SPACE_ALIAS);
        let setting = self.doctor.name(&SPACE_ALIAS);
        let Some(alias) = self.alias(&localpart) else {
            report
                .add(Finding::problem(check, format!("{setting} makes no alias")).settings(&[&SPACE_ALIAS]));
            return;
        };
        // An alias that leads somewhere is not to be removed, not even for a moment.
        match self
            .doctor
            .matrix
            .resolve_alias(&self.sender.session, &alias)
            .await
        {
            Err(error) if error.is_not_found() => {}
            Ok(room) => {
                report.add(Finding::ok(
                    check,
                    format!(
                        "{alias} leads to {room}; the first sync takes that room over if it is our space"
                    ),
                ));
                return;
            }
            Err(error) => {
                report.add(Finding::skipped(
                    check,
                    format!("{alias} cannot be looked up: {error}"),
                ));
                return;
            }
        }
        report.add(match self.place_of_alias(&localpart).await {
            Place::Inside => Finding::ok(check, format!("{alias} is ours to make")),
            Place::Outside => Finding::problem(
                check,
                format!("the homeserver does not let us make the space's alias {alias}, as {setting} says"),
            )
            .settings(&[&SPACE_ALIAS])
            .advice(format!(
                "Put {{ exclusive: true, regex: '{}' }} under namespaces, aliases in the registration file and \
                 restart the homeserver, or change {setting}.",
                exactly('#', &localpart, &self.sender.server_name)
            )),
            Place::Unclear(why) => Finding::skipped(check, why),
        });
    }

    /// Removes an alias that nobody has: a homeserver looks first whether it would be ours.
    async fn place_of_alias(&self, localpart: &str) -> Place {
        let Some(alias) = self.alias(localpart) else {
            return Place::Unclear(format!("{localpart} makes no alias"));
        };
        match self
            .doctor
            .matrix
            .delete_alias(&self.sender.session, &alias)
            .await
        {
            Ok(()) => Place::Inside,
            Err(error) => match error.kind() {
                MatrixErrorKind::Exclusive => Place::Outside,
                _ => Place::Unclear(format!(
                    "the homeserver does not say whether {alias} would be ours: {error}"
                )),
            },
        }
    }

    fn user(&self, localpart: &str) -> Option<OwnedUserId> {
        UserId::parse(format!("@{localpart}:{}", self.sender.server_name)).ok()
    }

    fn alias(&self, localpart: &str) -> Option<OwnedRoomAliasId> {
        RoomAliasId::parse(format!("#{localpart}:{}", self.sender.server_name)).ok()
    }
}

/// A homeserver refuses to let us speak for a user whom it does not have in other words than for one who is not ours.
/// There is one error code for both on most homeservers.
fn place_of_refused(error: &MatrixError) -> Place {
    let words = error.message().to_lowercase();
    match error.kind() {
        MatrixErrorKind::Exclusive => Place::Outside,
        MatrixErrorKind::Forbidden if words.contains("masquerade") || words.contains("namespace") => {
            Place::Outside
        }
        MatrixErrorKind::Forbidden if words.contains("registered") || words.contains("exist") => {
            Place::Inside
        }
        _ => Place::Unclear(format!(
            "the homeserver does not say which names are ours: {error}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_homeservers_are_understood() {
        for (code, words, expected) in [
            (
                "M_FORBIDDEN",
                "Application service has not registered this user (@agent_x:matrix.test)",
                Place::Inside,
            ),
            (
                "M_FORBIDDEN",
                "Application service cannot masquerade as this user (@x:matrix.test).",
                Place::Outside,
            ),
            ("M_EXCLUSIVE", "User is not in namespace.", Place::Outside),
            ("M_FORBIDDEN", "User does not exist.", Place::Inside),
        ] {
            let error = MatrixError::from_matrix(403, code, words);
            assert_eq!(place_of_refused(&error), expected, "{words}");
        }
        let error = MatrixError::from_matrix(403, "M_FORBIDDEN", "No.");
        assert!(matches!(place_of_refused(&error), Place::Unclear(_)));
    }
}
