//! Logins, registrations, profiles, account data, devices.

use axum::{
    Router,
    extract::Path,
    routing::{get, post, put},
};
use matrix_client::fake::{FakeMatrix, Homeserver, Object, ProfileField, Refusal, Requester};
use serde_json::{Value, json};

use super::ask::{Ask, Reply, Routes, done, reply, required, text};

pub(super) fn router() -> Router<FakeMatrix> {
    Routes::new()
        .exact("/_matrix/client/versions", get(versions))
        .exact("/.well-known/matrix/client", get(well_known))
        .both("/login", get(login_flows).post(login))
        .both("/logout", post(logout))
        .both("/logout/all", post(logout_all))
        .both("/refresh", post(refresh))
        .exact("/_matrix/client/v1/refresh", post(refresh))
        .both("/register", post(register))
        .both("/register/available", get(available))
        .both("/account/whoami", get(whoami))
        .both("/account/deactivate", post(deactivate))
        .both("/capabilities", get(capabilities))
        .both("/profile/{user_id}", get(profile))
        .both(
            "/profile/{user_id}/{field}",
            get(profile_field)
                .put(set_profile_field)
                .delete(drop_profile_field),
        )
        .both(
            "/user/{user_id}/account_data/{kind}",
            get(account_data).put(set_account_data),
        )
        .both(
            "/user/{user_id}/rooms/{room_id}/account_data/{kind}",
            get(room_account_data).put(set_room_account_data),
        )
        .both("/user/{user_id}/rooms/{room_id}/tags", get(tags))
        .both(
            "/user/{user_id}/rooms/{room_id}/tags/{tag}",
            put(set_tag).delete(drop_tag),
        )
        .both("/user/{user_id}/filter", post(save_filter))
        .both("/user/{user_id}/filter/{filter_id}", get(filter))
        .both("/devices", get(devices))
        .both(
            "/devices/{device_id}",
            get(device).put(rename_device).delete(delete_device),
        )
        .both("/pushrules/", get(push_rules))
        .both("/pushers", get(pushers))
        .both("/notifications", get(notifications))
        .both("/voip/turnServer", get(turn_server))
        .both("/thirdparty/protocols", get(protocols))
        .both("/presence/{user_id}/status", get(presence).put(set_presence))
        .0
}

async fn versions(ask: Ask) -> Reply {
    reply(
        ask.open_call("versions", json!({}), |server| Ok(server.versions()))
            .await?,
    )
}

async fn well_known(ask: Ask) -> Reply {
    reply(
        ask.open_call("well_known", json!({}), |server| server.well_known())
            .await?,
    )
}

async fn capabilities(ask: Ask) -> Reply {
    reply(
        ask.call("capabilities", None, json!({}), |server, _| {
            Ok(server.capabilities())
        })
        .await?,
    )
}

async fn login_flows(ask: Ask) -> Reply {
    reply(
        ask.open_call("login_flows", json!({}), |server| Ok(server.login_flows()))
            .await?,
    )
}

/// What may be written down of a login or a registration.
fn without_secrets(body: &Object) -> Value {
    let mut arguments = body.clone();
    for secret in ["password", "token", "auth", "mac", "nonce", "refresh_token"] {
        arguments.remove(secret);
    }
    Value::Object(arguments)
}

async fn login(ask: Ask) -> Reply {
    let body = ask.object()?;
    let credentials = ask.credentials.clone();
    let session = ask
        .open_call("login", without_secrets(&body), |server| {
            server.login(&credentials, &body)
        })
        .await?;
    reply(session)
}

async fn logout(ask: Ask) -> Reply {
    ask.call("logout", None, json!({}), Homeserver::logout).await?;
    done()
}

async fn logout_all(ask: Ask) -> Reply {
    let effect = |server: &mut Homeserver, who: &Requester| {
        server.logout_all(who);
        Ok(())
    };
    ask.call("logout_all", None, json!({}), effect).await?;
    done()
}

async fn refresh(ask: Ask) -> Reply {
    let body = ask.object()?;
    reply(
        ask.open_call("refresh", json!({}), |server| server.refresh(&body))
            .await?,
    )
}

async fn register(ask: Ask) -> Reply {
    let body = ask.object()?;
    if ask.query("kind") == Some("guest") {
        return Err(Refusal::new(403, "M_UNKNOWN", "Guest access is disabled").into());
    }
    let credentials = ask.credentials.clone();
    let effect = |server: &mut Homeserver| server.register(&credentials, &body);
    reply(ask.open_call("register", without_secrets(&body), effect).await?)
}

async fn available(ask: Ask) -> Reply {
    let Some(username) = ask.query("username").map(ToOwned::to_owned) else {
        return Err(Refusal::new(
            400,
            "M_MISSING_PARAM",
            "Missing string query parameter 'username'",
        )
        .into());
    };
    let arguments = json!({ "username": username });
    let effect = |server: &mut Homeserver| server.is_username_available(&username);
    ask.open_call("is_username_available", arguments, effect).await?;
    reply(json!({ "available": true }))
}

async fn whoami(ask: Ask) -> Reply {
    reply(
        ask.call("whoami", None, json!({}), |server, who| Ok(server.whoami(who)))
            .await?,
    )
}

async fn deactivate(ask: Ask) -> Reply {
    let body = ask.object_or_nothing()?;
    let erase = body.get("erase").and_then(Value::as_bool).unwrap_or_default();
    let effect = |server: &mut Homeserver, who: &Requester| {
        server.check_identity(who, &body)?;
        server.admin_deactivate(&who.user_id, erase)
    };
    reply(
        ask.call("deactivate", None, json!({ "erase": erase }), effect)
            .await?,
    )
}

async fn profile(Path(user_id): Path<String>, ask: Ask) -> Reply {
    let arguments = json!({ "user_id": user_id });
    reply(
        ask.open_call("get_profile", arguments, |server| server.profile(&user_id))
            .await?,
    )
}

fn field_of(name: &str) -> Result<(ProfileField, &'static str), Refusal> {
    match name {
        "displayname" => Ok((ProfileField::DisplayName, "set_display_name")),
        "avatar_url" => Ok((ProfileField::AvatarUrl, "set_avatar_url")),
        _ => Err(Refusal::new(404, "M_NOT_FOUND", "Profile was not found")),
    }
}

async fn profile_field(Path((user_id, name)): Path<(String, String)>, ask: Ask) -> Reply {
    let (field, _) = field_of(&name)?;
    let arguments = json!({ "user_id": user_id });
    reply(
        ask.open_call("get_profile", arguments, |server| {
            server.profile_field(&user_id, field)
        })
        .await?,
    )
}

async fn set_profile_field(Path((user_id, name)): Path<(String, String)>, ask: Ask) -> Reply {
    let (field, method) = field_of(&name)?;
    let body = ask.object()?;
    let arguments = json!({ "user_id": user_id, field.key(): body.get(field.key()) });
    let effect = |server: &mut Homeserver, who: &Requester| {
        let value = body
            .get(field.key())
            .ok_or_else(|| Refusal::new(400, "M_MISSING_PARAM", format!("Missing key '{}'", field.key())))?;
        server.set_profile_field(who, &user_id, field, value)
    };
    ask.call(method, None, arguments, effect).await?;
    done()
}

async fn drop_profile_field(Path((user_id, name)): Path<(String, String)>, ask: Ask) -> Reply {
    let (field, method) = field_of(&name)?;
    let arguments = json!({ "user_id": user_id, field.key(): null });
    let nothing = Value::String(String::new());
    let effect =
        |server: &mut Homeserver, who: &Requester| server.set_profile_field(who, &user_id, field, &nothing);
    ask.call(method, None, arguments, effect).await?;
    done()
}

async fn account_data(Path((user_id, kind)): Path<(String, String)>, ask: Ask) -> Reply {
    let arguments = json!({ "type": kind });
    let effect = |server: &mut Homeserver, who: &Requester| server.account_data(who, &user_id, "", &kind);
    reply(ask.call("account_data", None, arguments, effect).await?)
}

async fn set_account_data(Path((user_id, kind)): Path<(String, String)>, ask: Ask) -> Reply {
    let content = ask.object()?;
    let arguments = json!({ "type": kind, "content": content });
    let effect =
        |server: &mut Homeserver, who: &Requester| server.set_account_data(who, &user_id, "", &kind, content);
    ask.call("set_account_data", None, arguments, effect).await?;
    done()
}

async fn room_account_data(
    Path((user_id, room_id, kind)): Path<(String, String, String)>,
    ask: Ask,
) -> Reply {
    let arguments = json!({ "type": kind });
    let effect =
        |server: &mut Homeserver, who: &Requester| server.account_data(who, &user_id, &room_id, &kind);
    reply(
        ask.call("account_data", Some(&room_id), arguments, effect)
            .await?,
    )
}

async fn set_room_account_data(
    Path((user_id, room_id, kind)): Path<(String, String, String)>,
    ask: Ask,
) -> Reply {
    let content = ask.object()?;
    let arguments = json!({ "type": kind, "content": content });
    let effect = |server: &mut Homeserver, who: &Requester| {
        server.set_account_data(who, &user_id, &room_id, &kind, content)
    };
    ask.call("set_account_data", Some(&room_id), arguments, effect)
        .await?;
    done()
}

async fn tags(Path((_, room_id)): Path<(String, String)>, ask: Ask) -> Reply {
    reply(
        ask.call("tags", Some(&room_id), json!({}), |server, who| {
            Ok(server.tags(who, &room_id))
        })
        .await?,
    )
}

async fn set_tag(Path((_, room_id, tag)): Path<(String, String, String)>, ask: Ask) -> Reply {
    let content = ask.object()?;
    let effect = |server: &mut Homeserver, who: &Requester| {
        server.set_tag(who, &room_id, &tag, Some(Value::Object(content)))
    };
    ask.call("set_tag", Some(&room_id), json!({ "tag": tag }), effect)
        .await?;
    done()
}

async fn drop_tag(Path((_, room_id, tag)): Path<(String, String, String)>, ask: Ask) -> Reply {
    let arguments = json!({ "tag": tag });
    ask.call("drop_tag", Some(&room_id), arguments, |server, who| {
        server.set_tag(who, &room_id, &tag, None)
    })
    .await?;
    done()
}

async fn save_filter(Path(user_id): Path<String>, ask: Ask) -> Reply {
    let definition = ask.object()?;
    let effect = |server: &mut Homeserver, who: &Requester| server.save_filter(who, &user_id, definition);
    let id = ask.call("save_filter", None, json!({}), effect).await?;
    reply(json!({ "filter_id": id }))
}

async fn filter(Path((user_id, id)): Path<(String, String)>, ask: Ask) -> Reply {
    let arguments = json!({ "filter_id": id });
    reply(
        ask.call("filter", None, arguments, |server, who| {
            server.filter(who, &user_id, &id)
        })
        .await?,
    )
}

async fn devices(ask: Ask) -> Reply {
    let devices = ask
        .call("devices", None, json!({}), |server, who| Ok(server.devices(who)))
        .await?;
    reply(json!({ "devices": devices }))
}

async fn device(Path(id): Path<String>, ask: Ask) -> Reply {
    let arguments = json!({ "device_id": id });
    reply(
        ask.call("device", None, arguments, |server, who| server.device(who, &id))
            .await?,
    )
}

async fn rename_device(Path(id): Path<String>, ask: Ask) -> Reply {
    let body = ask.object()?;
    let arguments = json!({ "device_id": id });
    let effect = |server: &mut Homeserver, who: &Requester| {
        server.rename_device(who, &id, text(&body, "display_name"))
    };
    ask.call("rename_device", None, arguments, effect).await?;
    done()
}

async fn delete_device(Path(id): Path<String>, ask: Ask) -> Reply {
    let body = ask.object_or_nothing()?;
    let arguments = json!({ "device_id": id });
    let effect = |server: &mut Homeserver, who: &Requester| {
        server.check_identity(who, &body)?;
        server.delete_device(who, &id);
        Ok(())
    };
    ask.call("delete_device", None, arguments, effect).await?;
    done()
}

async fn push_rules(ask: Ask) -> Reply {
    let effect = |server: &mut Homeserver, who: &Requester| {
        server.account_data(who, &who.user_id.clone(), "", "m.push_rules")
    };
    reply(ask.call("push_rules", None, json!({}), effect).await?)
}

async fn pushers(ask: Ask) -> Reply {
    ask.call("pushers", None, json!({}), |_, _| Ok(())).await?;
    reply(json!({ "pushers": [] }))
}

async fn notifications(ask: Ask) -> Reply {
    ask.call("notifications", None, json!({}), |_, _| Ok(())).await?;
    reply(json!({ "notifications": [] }))
}

async fn turn_server(ask: Ask) -> Reply {
    ask.call("turn_server", None, json!({}), |_, _| Ok(())).await?;
    done()
}

async fn protocols(ask: Ask) -> Reply {
    ask.call("protocols", None, json!({}), |_, _| Ok(())).await?;
    done()
}

/// Presence is off, as on many servers: setting it is taken and has no effect.
async fn set_presence(Path(user_id): Path<String>, ask: Ask) -> Reply {
    let body = ask.object()?;
    let presence = required(&body, "presence")?.to_owned();
    let effect = |_: &mut Homeserver, who: &Requester| {
        if who.user_id == user_id {
            Ok(())
        } else {
            Err(Refusal::new(
                403,
                "M_FORBIDDEN",
                "Can only set your own presence state",
            ))
        }
    };
    ask.call("set_presence", None, json!({ "presence": presence }), effect)
        .await?;
    done()
}

async fn presence(Path(_): Path<String>, ask: Ask) -> Reply {
    ask.call("presence", None, json!({}), |_, _| Ok(())).await?;
    reply(json!({ "presence": "offline" }))
}
