//! Cases of [`AccountStore`].

use std::sync::Arc;

use super::samples::{LATER, NOON, user};
use crate::{Account, AccountStore};

fn account(localpart: &str) -> Account {
    Account {
        user_id: user(localpart),
        device_id: "DEVICE ü".into(),
        sealed_token: Some((0..=255).collect()),
        sealed_password: Some(vec![0; 3]),
        logged_in_at: Some(LATER),
    }
}

/// `Account` shows no secrets, so what differs is not shown either.
async fn assert_there(store: &impl AccountStore, account: &Account) {
    let there = store.get_account(&account.user_id).await.unwrap();
    assert!(there.as_ref() == Some(account), "{there:?} is not {account:?}");
}

/// An unknown account is not there.
pub async fn an_unknown_account_is_not_there(store: Arc<impl AccountStore>) {
    store.put_account(&account("ann")).await.unwrap();
    assert!(store.get_account(&user("bob")).await.unwrap().is_none());
}

/// An account comes back unchanged, and a second write replaces the first in every field.
pub async fn an_account_comes_back_as_it_was_written(store: Arc<impl AccountStore>) {
    let full = account("ann");
    let bare = Account {
        device_id: "OTHER".into(),
        sealed_token: None,
        sealed_password: None,
        logged_in_at: None,
        ..full.clone()
    };
    let empty = Account {
        sealed_token: Some(Vec::new()),
        logged_in_at: Some(NOON),
        ..bare.clone()
    };
    for account in [&full, &bare, &empty, &full] {
        store.put_account(account).await.unwrap();
        assert_there(&*store, account).await;
    }
}

/// Accounts are apart, and a deleted one is gone alone.
pub async fn a_deleted_account_is_gone(store: Arc<impl AccountStore>) {
    let (ann, bob) = (account("ann"), account("bob"));
    store.put_account(&ann).await.unwrap();
    store.put_account(&bob).await.unwrap();
    store.delete_account(&ann.user_id).await.unwrap();
    assert!(store.get_account(&ann.user_id).await.unwrap().is_none());
    assert_there(&*store, &bob).await;
}

/// Deleting an unknown account does nothing.
pub async fn deleting_an_unknown_account_does_nothing(store: Arc<impl AccountStore>) {
    let ann = account("ann");
    store.put_account(&ann).await.unwrap();
    store.delete_account(&user("bob")).await.unwrap();
    assert_there(&*store, &ann).await;
}
