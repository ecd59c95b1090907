//! [`AccountStore`] in SQL.

use async_trait::async_trait;
use ruma::UserId;
use sqlx::{Row, postgres::PgRow};
use store::{
    Account, AccountStore, Result,
    columns::{corrupt, parse, write_time},
};

use crate::PostgresStore;

fn read(user_id: &UserId, row: &PgRow) -> Result<Account> {
    let column = |column: &'static str| move |error| corrupt(user_id.as_str(), column, error);
    let device_id: String = row.try_get("device_id").map_err(column("device_id"))?;
    let logged_in_at: Option<String> = row.try_get("logged_in_at").map_err(column("logged_in_at"))?;
    Ok(Account {
        user_id: user_id.to_owned(),
        device_id: device_id.into(),
        sealed_token: row.try_get("sealed_token").map_err(column("sealed_token"))?,
        sealed_password: row
            .try_get("sealed_password")
            .map_err(column("sealed_password"))?,
        logged_in_at: logged_in_at
            .map(|time| parse(user_id.as_str(), "logged_in_at", &time))
            .transpose()?,
    })
}

#[async_trait]
impl AccountStore for PostgresStore {
    async fn get_account(&self, user_id: &UserId) -> Result<Option<Account>> {
        let statement = sqlx::query("SELECT * FROM account WHERE user_id = $1").bind(user_id.as_str());
        let rows = self
            .rows(statement, &format!("read the account {user_id}"))
            .await?;
        rows.first().map(|row| read(user_id, row)).transpose()
    }

    async fn put_account(&self, account: &Account) -> Result<()> {
        let statement = sqlx::query(
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
        .bind(account.logged_in_at.map(write_time));
        self.execute(statement, &format!("write the account {}", account.user_id))
            .await?;
        Ok(())
    }

    async fn delete_account(&self, user_id: &UserId) -> Result<()> {
        let statement = sqlx::query("DELETE FROM account WHERE user_id = $1").bind(user_id.as_str());
        self.execute(statement, &format!("delete the account {user_id}"))
            .await?;
        Ok(())
    }
}
