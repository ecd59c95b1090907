//! Looking at the file without touching it.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use sqlx::{
    ConnectOptions, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteOwnedBuf, SqlitePoolOptions},
};
use store::{Result, StoreError, StoreErrorKind};

use crate::{
    SqliteStore,
    error::failed,
    open::{BUSY, migrate, refuse_foreign, shown},
};

/// How often a copy is made anew because somebody began to write meanwhile.
const ATTEMPTS: u32 = 3;

impl SqliteStore {
    /// Reads what the file holds now; `None` when there is no file. Nothing is created, written or brought up to date,
    /// neither the file nor anything beside it, and a bridge at work is not disturbed.
    ///
    /// The store is a copy in memory: it does not follow later changes, its tables are brought up to date if they are
    /// older, and writing to it fails with `Unavailable`.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub async fn open_read_only(path: &Path) -> Result<Option<Self>> {
        let shown = shown(path);
        let unreadable = |error: io::Error| {
            StoreError::new(StoreErrorKind::Unavailable, format!("cannot read {shown}")).with_source(error)
        };
        if !path.try_exists().map_err(unreadable)? {
            return Ok(None);
        }
        // What lies beside a file lies beside the real one, not beside a link to it.
        let real = path.canonicalize().map_err(unreadable)?;
        let image = read(&real, &shown).await?;
        // One connection that lives as long as the pool: the memory is its own.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(SqliteConnectOptions::new().in_memory(true))
            .await
            .map_err(failed(format!("copy {shown}")))?;
        let mut connection = pool.acquire().await.map_err(failed(format!("copy {shown}")))?;
        if let Some(image) = image {
            connection
                .deserialize(None, image, false)
                .await
                .map_err(failed(format!("copy {shown}")))?;
        }
        refuse_foreign(&mut connection, &shown).await?;
        migrate(&mut connection, &shown).await?;
        sqlx::query("PRAGMA query_only = ON")
            .execute(&mut *connection)
            .await
            .map_err(failed(format!("copy {shown}")))?;
        drop(connection);
        Ok(Some(Self { pool }))
    }
}

/// The database as one piece; `None` when it is empty.
async fn read(path: &Path, shown: &str) -> Result<Option<SqliteOwnedBuf>> {
    for _ in 0..ATTEMPTS {
        // Who opens a file in WAL mode makes two files beside it, and who may only read leaves them behind. So as long
        // as they are not there, which is when nobody has the file open, it is read as if on a read-only medium.
        let at_work = has_log(path);
        if size(path) == 0 && !at_work {
            return Ok(None);
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .immutable(!at_work)
            .busy_timeout(BUSY);
        let image = copy(&options).await.map_err(failed(format!("read {shown}")));
        if at_work || !has_log(path) {
            return image.map(Some);
        }
    }
    Err(StoreError::new(
        StoreErrorKind::Unavailable,
        format!("cannot read {shown}: it is opened again and again"),
    ))
}

async fn copy(options: &SqliteConnectOptions) -> sqlx::Result<SqliteOwnedBuf> {
    let mut connection: SqliteConnection = options.connect().await?;
    let mut image = connection.serialize(None).await?;
    connection.close().await?;
    // Bytes 18 and 19 of the header tell that there is a log beside the file. There is none beside memory.
    if let Some(versions) = image.get_mut(18..20) {
        versions.fill(1);
    }
    Ok(image)
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// Whether there is a write-ahead log that somebody uses, or left behind with something in it.
fn has_log(path: &Path) -> bool {
    let mut name = OsString::from(path);
    name.push("-wal");
    PathBuf::from(name).exists()
}
