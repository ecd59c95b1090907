//! The news of one user.

use std::{sync::Arc, time::Duration};

use accounts::AccountError;
use matrix_client::{
    MatrixError, MatrixErrorKind, MessagesRequest, Session, SyncRequest, SyncResponse, Timeline,
};
use ruma::{OwnedUserId, RoomId, UserId, presence::PresenceState};
use store::{Cursor, StoreError};
use tokio::time::{Instant, sleep};

use super::{
    Parts,
    answer::{News, filter, from_joining_on, invitation, timeline_filter},
};

/// Why there are no news.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("there is no session")]
    Account(#[source] AccountError),
    #[error("the homeserver does not tell what is new")]
    Matrix(#[source] MatrixError),
    #[error("the inbox cannot be read or written")]
    Inbox(#[source] StoreError),
}

impl Trouble {
    /// Whether it has nothing to do with the user.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Account(AccountError::Matrix(error)) | Self::Matrix(error) => error.is_retryable(),
            Self::Account(AccountError::Store(_)) | Self::Inbox(_) => true,
            Self::Account(_) => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Account(AccountError::Matrix(error)) | Self::Matrix(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// How far the news were read.
#[derive(Debug)]
struct Place {
    since: Option<String>,
    /// When it was last written down.
    remembered_at: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct UserReader {
    parts: Arc<Parts>,
    user: OwnedUserId,
    source: String,
    place: Option<Place>,
    failures: u32,
}

impl UserReader {
    pub(super) fn new(parts: Arc<Parts>, user: OwnedUserId) -> Self {
        Self {
            source: format!("sync:{user}"),
            parts,
            user,
            place: None,
            failures: 0,
        }
    }

    pub(super) fn user(&self) -> &UserId {
        &self.user
    }

    /// Reads for ever.
    pub(super) async fn read(&mut self) {
        let mut was_replaced = false;
        loop {
            let session = self.parts.accounts.session(&self.user).await;
            let result = match &session {
                Ok(session) => self.read_on(session).await,
                Err(_) => Ok(()),
            };
            let trouble = match (session, result) {
                (Err(error), _) => Trouble::Account(error),
                (Ok(_), Ok(())) => {
                    self.failures = 0;
                    was_replaced = false;
                    self.parts.outages.succeeded(&self.user);
                    continue;
                }
                (Ok(session), Err(Trouble::Matrix(error))) if is_refused(&error) => {
                    match self.parts.accounts.forget(&session).await {
                        // The next one may be right. If it is not, there is no hurry any more.
                        Ok(true) if !was_replaced => {
                            was_replaced = true;
                            continue;
                        }
                        Ok(_) => Trouble::Matrix(error),
                        Err(error) => Trouble::Account(error),
                    }
                }
                (Ok(_), Err(trouble)) => trouble,
            };
            self.parts.outages.failed(&self.user, &trouble);
            self.failures = self.failures.saturating_add(1);
            sleep(self.parts.backoff.wait(self.failures, trouble.retry_after())).await;
        }
    }

    /// One answer, up to the inbox.
    async fn read_on(&mut self, session: &Session) -> Result<(), Trouble> {
        let place = match self.place.take() {
            Some(place) => place,
            None => Place {
                since: self
                    .parts
                    .inbox
                    .get_cursor(&self.source)
                    .await
                    .map_err(Trouble::Inbox)?,
                remembered_at: None,
            },
        };
        let place = self.place.insert(place);
        let settings = &self.parts.settings;
        let request = match &place.since {
            // What was wrong should be seen to be over at once.
            Some(since) if self.failures > 0 => SyncRequest::since(since),
            Some(since) => SyncRequest::since(since).timeout(settings.poll),
            None => SyncRequest::initial(),
        };
        let request = request
            .filter(filter(place.since.is_some().then_some(settings.timeline)))
            .set_presence(PresenceState::Offline);
        let answer = match self.parts.matrix.sync(session, &request).await {
            Ok(answer) => answer,
            Err(error) => {
                if error.status() == Some(400) && place.since.take().is_some() {
                    tracing::warn!(
                        user.id = %self.user,
                        %error,
                        "the homeserver does not know how far the user's news were read. It is begun anew: what was said \
                         in between is not seen"
                    );
                }
                return Err(Trouble::Matrix(error));
            }
        };
        let since = place.since.clone();
        let next = answer.next_batch.clone();
        let is_old = place
            .remembered_at
            .is_none_or(|at| at.elapsed() >= settings.remember_every);
        let news = self.news(session, since.as_deref(), answer).await?;
        if since.is_none() || is_old || !news.is_empty() {
            let cursor = Cursor {
                source: self.source.clone(),
                position: next.clone(),
            };
            self.parts
                .inbox
                .accept_answer(news.events, &news.skipped, Some(cursor))
                .await
                .map_err(Trouble::Inbox)?;
            self.place = Some(Place {
                since: Some(next),
                remembered_at: Some(Instant::now()),
            });
        } else if let Some(place) = &mut self.place {
            place.since = Some(next);
        }
        Ok(())
    }

    /// What is new in an answer, with what it leaves out.
    async fn news(
        &self,
        session: &Session,
        since: Option<&str>,
        answer: SyncResponse,
    ) -> Result<News, Trouble> {
        let mut news = News::default();
        for (room_id, invited) in &answer.invited {
            let now = self.parts.clock.now();
            match invitation(&self.user, room_id, invited, since, now) {
                Some(event) => news.events.push(event),
                None => {
                    tracing::warn!(user.id = %self.user, room.id = %room_id, "an invitation does not say who invites");
                }
            }
        }
        let Some(since) = since else {
            return Ok(news);
        };
        news.skipped.extend(answer.skipped);
        for (room_id, joined) in answer.joined {
            let mut events = Vec::new();
            if joined.timeline.limited {
                let mut missing = self.missing(session, &room_id, &joined.timeline, since).await?;
                news.skipped.append(&mut missing.skipped);
                events = missing.events;
            }
            events.extend(joined.timeline.events);
            news.add(&room_id, from_joining_on(events, &self.user));
        }
        for (room_id, left) in answer.left {
            news.add(&room_id, left.timeline.events);
        }
        Ok(news)
    }

    /// What happened between the last answer and the beginning of a timeline, oldest first.
    async fn missing(
        &self,
        session: &Session,
        room_id: &RoomId,
        timeline: &Timeline,
        since: &str,
    ) -> Result<News, Trouble> {
        let settings = &self.parts.settings;
        let mut missing = News::default();
        let mut from = timeline.prev_batch.clone();
        for _ in 0..settings.pages {
            let Some(token) = &from else { break };
            let request = MessagesRequest::backward()
                .from(token)
                .to(since)
                .limit(settings.page)
                .filter(timeline_filter(None));
            let page = match self.parts.matrix.list_messages(session, room_id, &request).await {
                Ok(page) => page,
                Err(error) if error.is_retryable() || is_refused(&error) => {
                    return Err(Trouble::Matrix(error));
                }
                Err(error) => {
                    tracing::warn!(
                        user.id = %self.user,
                        room.id = %room_id,
                        %error,
                        "the homeserver left messages out and does not let them be read: they are given up"
                    );
                    from = None;
                    break;
                }
            };
            missing.events.extend(page.events);
            missing.skipped.extend(page.skipped);
            from = page.end.filter(|end| end != token);
        }
        if from.is_some() {
            tracing::warn!(
                user.id = %self.user,
                room.id = %room_id,
                read = missing.events.len(),
                "too much was said in a room since it was last read: the oldest of it is given up"
            );
        }
        missing.events.reverse();
        Ok(missing)
    }
}

/// Whether the session is not taken any more.
fn is_refused(error: &MatrixError) -> bool {
    matches!(
        error.kind(),
        MatrixErrorKind::Unauthorized { .. } | MatrixErrorKind::MissingToken
    )
}
