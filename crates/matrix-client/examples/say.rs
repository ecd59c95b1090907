//! Says something in a room, as a user with a password.
//!
//! ```sh
//! MATRIX_PASSWORD=… cargo run --example say -- https://matrix.example.org alice '#tea:example.org' 'Hello!'
//! ```

use std::{env, error::Error, time::SystemTime};

use matrix_client::{
    HttpMatrix, LoginRequest, MatrixApi, MatrixApiExt,
    content::Message,
    ruma::{OwnedTransactionId, RoomOrAliasId},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [homeserver, user, room, text] = arguments.as_slice() else {
        return Err("usage: say HOMESERVER USER ROOM TEXT, with the password in MATRIX_PASSWORD".into());
    };
    let matrix = HttpMatrix::new(homeserver.parse()?)?;
    let password = env::var("MATRIX_PASSWORD")?.into();
    let session = matrix
        .login(&LoginRequest::with_password(&**user, password))
        .await?;
    let outcome = say(&matrix, &session, &RoomOrAliasId::parse(room)?, text).await;
    // Also when it failed: a device that nobody uses should not stay.
    matrix.logout(&session).await?;
    Ok(outcome?)
}

async fn say(
    matrix: &dyn MatrixApi,
    session: &matrix_client::Session,
    room: &RoomOrAliasId,
    text: &str,
) -> matrix_client::Result<()> {
    let room = matrix.join_room(session, room, &[]).await?;
    matrix
        .send_message(session, &room, &new_transaction_id(), &Message::text(text))
        .await?;
    Ok(())
}

/// The session is new, so anything unique for a moment will do.
#[expect(clippy::disallowed_methods, reason = "an example, not a test")]
fn new_transaction_id() -> OwnedTransactionId {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    format!("say-{}", since_epoch.as_nanos()).into()
}
