//! Accounts.

use async_trait::async_trait;
use ruma::UserId;

use super::MemoryStore;
use crate::{Account, AccountStore, Result};

#[async_trait]
impl AccountStore for MemoryStore {
    async fn get_account(&self, user_id: &UserId) -> Result<Option<Account>> {
        Ok(self.state().accounts.get(user_id).cloned())
    }

    async fn put_account(&self, account: &Account) -> Result<()> {
        self.state()
            .accounts
            .insert(account.user_id.clone(), account.clone());
        Ok(())
    }

    async fn delete_account(&self, user_id: &UserId) -> Result<()> {
        self.state().accounts.remove(user_id);
        Ok(())
    }
}
