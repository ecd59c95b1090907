//! The media repository.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    homeserver::Homeserver,
    refusal::{Answer, Refusal},
    requester::Requester,
};

/// An uploaded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMedia {
    /// Who uploaded it.
    pub uploader: String,
    /// What the uploader says it is.
    pub content_type: Option<String>,
    /// What the uploader calls it.
    pub filename: Option<String>,
    /// The file; `None` as long as only its address was made.
    pub bytes: Option<Bytes>,
}

impl Homeserver {
    /// The largest upload.
    pub fn max_upload_bytes(&self) -> u64 {
        self.settings.max_upload_bytes
    }

    /// `POST /media/v3/upload`; answers the address of the file.
    pub fn upload(
        &mut self,
        who: &Requester,
        content_type: Option<&str>,
        filename: Option<&str>,
        bytes: Bytes,
    ) -> Answer<String> {
        self.check_upload(&bytes)?;
        let id = self.ids.media();
        let media = StoredMedia {
            uploader: who.user_id.clone(),
            content_type: content_type.map(ToOwned::to_owned),
            filename: filename.map(ToOwned::to_owned),
            bytes: Some(bytes),
        };
        self.media.insert(id.clone(), media);
        Ok(format!("mxc://{}/{id}", self.settings.server_name))
    }

    fn check_upload(&self, bytes: &Bytes) -> Answer<()> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > self.settings.max_upload_bytes {
            return Err(Refusal::new(
                413,
                "M_TOO_LARGE",
                "Upload request body is too large",
            ));
        }
        Ok(())
    }

    /// `POST /media/v1/create`
    pub fn create_media(&mut self, who: &Requester) -> Value {
        let id = self.ids.media();
        let media = StoredMedia {
            uploader: who.user_id.clone(),
            content_type: None,
            filename: None,
            bytes: None,
        };
        self.media.insert(id.clone(), media);
        json!({
            "content_uri": format!("mxc://{}/{id}", self.settings.server_name),
            "unused_expires_at": self.now_ms() + 24 * 60 * 60 * 1000,
        })
    }

    /// `PUT /media/v3/upload/{serverName}/{mediaId}`
    pub fn fill_media(
        &mut self,
        who: &Requester,
        id: &str,
        content_type: Option<&str>,
        filename: Option<&str>,
        bytes: Bytes,
    ) -> Answer<()> {
        self.check_upload(&bytes)?;
        let media = self
            .media
            .get_mut(id)
            .ok_or_else(|| Refusal::not_found("Unknown media ID"))?;
        if media.uploader != who.user_id {
            return Err(Refusal::forbidden(
                "Only the creator of the media ID can upload to it",
            ));
        }
        if media.bytes.is_some() {
            let words = "Media ID already has content";
            return Err(Refusal::new(409, "M_CANNOT_OVERWRITE_MEDIA", words));
        }
        *media = StoredMedia {
            uploader: who.user_id.clone(),
            content_type: content_type.map(ToOwned::to_owned),
            filename: filename.map(ToOwned::to_owned),
            bytes: Some(bytes),
        };
        Ok(())
    }

    /// `GET /client/v1/media/download/{serverName}/{mediaId}`
    pub fn download(&self, server_name: &str, id: &str) -> Answer<StoredMedia> {
        if server_name != self.settings.server_name {
            return Err(Refusal::forbidden(format!(
                "Federation denied with {server_name}."
            )));
        }
        let path = format!("/_matrix/client/v1/media/download/{server_name}/{id}");
        match self.media.get(id) {
            Some(media) if media.bytes.is_none() => Err(Refusal::new(
                504,
                "M_NOT_YET_UPLOADED",
                "Media has not been uploaded yet",
            )),
            Some(media) => {
                let mut media = media.clone();
                // Synapse takes every text for UTF-8.
                media.content_type = media.content_type.map(|kind| match kind.starts_with("text/") {
                    true if !kind.contains("charset") => format!("{kind}; charset=UTF-8"),
                    _ => kind,
                });
                Ok(media)
            }
            None => Err(Refusal::not_found(format!("Not found '{path}'"))),
        }
    }
}
