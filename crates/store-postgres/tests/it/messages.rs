//! What is said when there is no way in. Needs no server.

use std::time::Duration;

use secrecy::SecretString;
use store::{StoreError, StoreErrorKind};
use store_postgres::{Deadlines, PostgresStore};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::support::everything;

const PASSWORD: &str = "obviously-fake-password";

async fn refused(url: String) -> StoreError {
    let deadlines = Deadlines {
        connect: Duration::from_millis(500),
        ..Deadlines::default()
    };
    let error = PostgresStore::open_with(&SecretString::from(url), deadlines)
        .await
        .unwrap_err();
    let said = everything(&error);
    assert!(!said.contains(PASSWORD), "{said}");
    error
}

#[tokio::test]
async fn an_address_that_makes_no_sense_is_refused_without_showing_it() {
    for url in [
        format!("postgres://ann:{PASSWORD}@host:port/database"),
        format!("postgres://ann:{PASSWORD}@[::1/database"),
        format!("postgres://ann:{PASSWORD}@127.0.0.1/database?sslmode=perhaps"),
        format!("postgres//ann:{PASSWORD}@127.0.0.1/database"),
    ] {
        let error = refused(url).await;
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn nobody_there_names_the_server_and_the_database() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = refused(format!("postgres://ann:{PASSWORD}@127.0.0.1:{port}/bridge")).await;
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert_eq!(
        error.to_string(),
        format!("cannot open the PostgreSQL database bridge of ann at 127.0.0.1:{port}")
    );
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = refused(format!("postgres://ann:{PASSWORD}@127.0.0.1:{port}/bridge")).await;
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("did not answer for 0.5 s"), "{error}");
}

/// The servers of the other tests trust everybody, so this one is made of what PostgreSQL says to a wrong password.
#[tokio::test]
async fn a_wrong_password_is_refused_and_not_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        // A request for TLS, which it has not; then the startup message.
        let mut request = [0; 8];
        client.read_exact(&mut request).await.unwrap();
        client.write_all(b"N").await.unwrap();
        let length = client.read_u32().await.unwrap();
        let mut startup = vec![0; length as usize - 4];
        client.read_exact(&mut startup).await.unwrap();
        let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"ann\"\0\0";
        let length = u32::try_from(fields.len() + 4).unwrap();
        let error = [b"E".as_slice(), &length.to_be_bytes(), fields].concat();
        client.write_all(&error).await.unwrap();
        client.shutdown().await.unwrap();
    });
    let error = refused(format!("postgres://ann:{PASSWORD}@127.0.0.1:{port}/bridge")).await;
    assert_eq!(error.kind(), StoreErrorKind::Refused, "{}", everything(&error));
    assert!(everything(&error).contains("password authentication failed"));
    server.await.unwrap();
}

/// What answers a request for TLS, and then nothing but what is no TLS.
async fn answering(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut request = [0; 8];
        client.read_exact(&mut request).await.unwrap();
        client.write_all(answer).await.unwrap();
        client.shutdown().await.unwrap();
    });
    format!("postgres://ann:{PASSWORD}@127.0.0.1:{port}/bridge?sslmode=require")
}

#[tokio::test]
async fn who_insists_on_tls_is_not_connected_without() {
    for (answer, said) in [
        (b"N".as_slice(), "server does not support TLS"),
        (b"SHTTP/1.1 400 Bad Request\r\n\r\n", "corrupt message"),
    ] {
        let error = refused(answering(answer).await).await;
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(everything(&error).contains(said), "{}", everything(&error));
    }
}
