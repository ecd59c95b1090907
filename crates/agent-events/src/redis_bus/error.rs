//! What failures of Redis mean.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::{BusError, BusErrorKind};

pub(super) fn from_redis(error: RedisError) -> BusError {
    let (kind, message) = match error.kind() {
        _ if error.is_timeout() => (BusErrorKind::TimedOut, "the Redis server did not answer in time"),
        ErrorKind::Io
        | ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly,
        ) => (BusErrorKind::Unavailable, "the Redis server can not be reached"),
        ErrorKind::AuthenticationFailed | ErrorKind::Server(_) | ErrorKind::Extension => {
            (BusErrorKind::Refused, "the Redis server refuses")
        }
        _ => (BusErrorKind::Invalid, "the Redis server's answer makes no sense"),
    };
    BusError::new(kind, message).with_source(error)
}
