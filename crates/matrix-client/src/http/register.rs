//! Registration: the steps of user-interactive authentication.

use ruma::api::client::{
    account::register::{LoginType, v3},
    uiaa::{AuthData, AuthType, Dummy, RegistrationToken, UiaaInfo},
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    HttpMatrix,
    transport::{Call, Right, call, parse},
};
use crate::{MatrixError, MatrixErrorKind, Registered, Registration, RegistrationKind, Result, Session};

/// More stages than any server asks for; one that never has enough is not asked for ever.
const MAX_STAGES: usize = 5;

impl HttpMatrix {
    pub(super) async fn register_user(&self, registration: &Registration) -> Result<Registered> {
        let mut call = call!("register", Once);
        let mut request = first_request(registration);
        if let RegistrationKind::Appservice(token) = &registration.kind {
            let response = self.send(call, Right::Appservice(token), request).await?;
            return Ok(registered(response));
        }
        call.accepts_401 = true;
        for _ in 0..=MAX_STAGES {
            let http_request = self.build(&call, Right::None, request.clone())?;
            let reply = self.exchange(&call, Right::None, http_request).await?;
            if reply.status != 401 {
                return Ok(registered(parse(&call, reply)?));
            }
            let error = reply.to_error();
            if !matches!(error.kind(), MatrixErrorKind::InteractiveAuthRequired { .. }) {
                return Err(call.error(error));
            }
            let info: UiaaInfo =
                serde_json::from_slice(&reply.body).map_err(|error| not_understood(&call, &error))?;
            let stage = next_stage(&info, &registration.kind).ok_or_else(|| call.error(error))?;
            request.auth = Some(auth_data(stage, &registration.kind, info.session.clone()));
        }
        Err(call.error(MatrixError::new(
            MatrixErrorKind::InteractiveAuthRequired { flows: Vec::new() },
            "the homeserver asks for ever more steps",
        )))
    }
}

fn first_request(registration: &Registration) -> v3::Request {
    let mut request = v3::Request::new();
    request.username.clone_from(&registration.localpart);
    request.password = registration.password.as_ref().map(expose);
    request.device_id.clone_from(&registration.device_id);
    request
        .initial_device_display_name
        .clone_from(&registration.initial_device_display_name);
    request.inhibit_login = registration.inhibit_login;
    if matches!(registration.kind, RegistrationKind::Appservice(_)) {
        request.login_type = Some(LoginType::ApplicationService);
    }
    request
}

fn expose(secret: &SecretString) -> String {
    secret.expose_secret().to_owned()
}

fn registered(response: v3::Response) -> Registered {
    let session = response.access_token.map(|token| {
        let mut session = Session::with_access_token(response.user_id.clone(), token.into());
        session.device_id = response.device_id;
        session
    });
    Registered::new(response.user_id, session)
}

/// The stage to complete next: of the shortest flow that we can complete as a whole.
fn next_stage(info: &UiaaInfo, kind: &RegistrationKind) -> Option<AuthType> {
    let own = match kind {
        RegistrationKind::Token(_) => AuthType::RegistrationToken,
        _ => AuthType::Dummy,
    };
    let can = |stage: &AuthType| *stage == own || *stage == AuthType::Dummy;
    let flows = info.flows.iter().map(|flow| &flow.stages);
    let flow = flows
        .filter(|stages| stages.iter().all(can))
        .min_by_key(|stages| stages.len())?;
    flow.iter().find(|stage| !info.completed.contains(stage)).cloned()
}

fn auth_data(stage: AuthType, kind: &RegistrationKind, session: Option<String>) -> AuthData {
    match (stage, kind) {
        (AuthType::RegistrationToken, RegistrationKind::Token(token)) => {
            let mut data = RegistrationToken::new(expose(token));
            data.session = session;
            AuthData::RegistrationToken(data)
        }
        _ => {
            let mut data = Dummy::new();
            data.session = session;
            AuthData::Dummy(data)
        }
    }
}

/// serde's words name what is wrong; as a source they would only be repeated.
fn not_understood(call: &Call, error: &serde_json::Error) -> MatrixError {
    let kind = MatrixErrorKind::Decode {
        path: "flows".to_owned(),
    };
    call.error(MatrixError::new(kind, error.to_string()).with_status(401))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info(json: serde_json::Value) -> UiaaInfo {
        serde_json::from_value(json).expect("a step")
    }

    #[test]
    fn a_flow_that_can_be_completed_is_chosen() {
        let token = RegistrationKind::Token("token".into());
        let asked = info(json!({ "session": "s", "flows": [
            { "stages": ["m.login.recaptcha"] },
            { "stages": ["m.login.registration_token", "m.login.dummy"] },
        ]}));
        assert_eq!(next_stage(&asked, &token), Some(AuthType::RegistrationToken));
        assert_eq!(next_stage(&asked, &RegistrationKind::Dummy), None);
        let second = info(
            json!({ "session": "s", "completed": ["m.login.registration_token"], "flows": [
                { "stages": ["m.login.registration_token", "m.login.dummy"] },
            ]}),
        );
        assert_eq!(next_stage(&second, &token), Some(AuthType::Dummy));
    }
}
