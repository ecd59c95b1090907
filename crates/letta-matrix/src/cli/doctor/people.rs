//! Who is invited, and who may talk.

use conversation::rights::Rights;
use matrix_client::MatrixApi;

use super::{
    Doctor,
    appservice::Sender,
    finding::{Finding, Report},
};
use crate::config::{INVITE, PERMISSIONS};

pub(super) async fn check(doctor: &Doctor<'_>, sender: &Sender, report: &mut Report) {
    report.add(invited(doctor, sender).await);
    report.add(permitted(doctor));
}

/// A homeserver takes an invitation of a user who does not exist as well as any other.
async fn invited(doctor: &Doctor<'_>, sender: &Sender) -> Finding {
    let check = "people_invited";
    let invited = &doctor.config.sync.invite;
    let setting = if doctor.values.get(&INVITE).is_some() {
        &INVITE
    } else {
        &PERMISSIONS
    };
    if invited.is_empty() {
        return Finding::warning(check, "nobody is invited: no person will see the rooms")
            .settings(&[&INVITE, &PERMISSIONS])
            .advice(format!(
                "Name the people in {}, or admins in {}.",
                doctor.name(&INVITE),
                doctor.name(&PERMISSIONS)
            ));
    }
    let mut unknown = Vec::new();
    for person in invited
        .iter()
        .filter(|person| person.server_name() == sender.server_name)
    {
        if let Err(error) = doctor.matrix.get_profile(&sender.session, person).await
            && error.is_not_found()
        {
            unknown.push(person.to_string());
        }
    }
    if unknown.is_empty() {
        let people = match invited.len() {
            1 => "1 person is".to_owned(),
            count => format!("{count} people are"),
        };
        return Finding::ok(check, format!("{people} to be invited to every room"));
    }
    Finding::warning(
        check,
        format!(
            "the homeserver does not know {}, who is to be invited",
            unknown.join(" and ")
        ),
    )
    .settings(&[setting])
    .advice(format!("Look for a mistake in {}.", doctor.name(setting)))
}

fn permitted(doctor: &Doctor<'_>) -> Finding {
    let check = "people_permitted";
    if doctor.config.permissions == Rights::default() {
        return Finding::warning(check, "nobody may talk with the agents")
            .settings(&[&PERMISSIONS])
            .advice(format!(
                "Name people and servers in {}, such as @you:{}=admin.",
                doctor.name(&PERMISSIONS),
                doctor.config.server_name.value
            ));
    }
    Finding::ok(
        check,
        format!("{} says who may talk with the agents", doctor.name(&PERMISSIONS)),
    )
}
