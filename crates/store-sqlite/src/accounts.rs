//! [`AccountStore`] in SQL.

use async_trait::async_trait;
use ruma::{OwnedUserId, UserId};
use sqlx::FromRow;
use store::{
    Account, AccountStore, Result,
    columns::{parse, write_time},
};

use crate::{SqliteStore, error::failed};

#[derive(FromRow)]
struct AccountRow {
    device_id: String,
    sealed_token: Option<Vec<u8>>,
    sealed_password: Option<Vec<u8>>,
    logged_in_at: Option<String>,
}

impl AccountRow {
    fn read(self, user_id: OwnedUserId) -> Result<Account> {
        let logged_in_at = self
            .logged_in_at
            .map(|time| parse(user_id.as_str(), "logged_in_at", &time))
            .transpose()?;
        Ok(Account {
            user_id,
            device_id: self.device_id.into(),
            sealed_token: self.sealed_token,
            sealed_password: self.sealed_password,
            logged_in_at,
        })
    }
}

#[async_trait]
impl AccountStore for SqliteStore {
    async fn get_account(&self, user_id: &UserId) -> Result<Option<Account>> {
        let row: Option<AccountRow> = sqlx::query_as(
            "SELECT device_id, sealed_token, sealed_password, logged_in_at FROM account WHERE user_id = $1",
        )
        .bind(user_id.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed(format!("read the account {user_id}")))?;
        row.map(|row| row.read(user_id.to_owned())).transpose()
    }

    async fn put_account(&self, account: &Account) -> Result<()> {
        sqlx::query(
            "INSERT INTO account (user_id, device_id, sealed_token, sealed_password, logged_in_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (user_id) DO UPDATE SET
                 device_id = excluded.device_id, sealed_token = excluded.sealed_token,
                 sealed_password = excluded.sealed_password, logged_in_at = excluded.logged_in_at",
        )
        .bind(account.user_id.as_str())
        .bind(account.device_id.as_str())
        .bind(account.sealed_token.as_deref())
        .bind(account.sealed_password.as_deref())
        .bind(account.logged_in_at.map(write_time))
        .execute(&self.pool)
        .await
        .map_err(failed(format!("write the account {}", account.user_id)))?;
        Ok(())
    }

    async fn delete_account(&self, user_id: &UserId) -> Result<()> {
        sqlx::query("DELETE FROM account WHERE user_id = $1")
            .bind(user_id.as_str())
            .execute(&self.pool)
            .await
            .map_err(failed(format!("delete the account {user_id}")))?;
        Ok(())
    }
}
