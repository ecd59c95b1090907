use bytes::Bytes;
use ruma::{MxcUri, OwnedMxcUri};

/// A file to upload.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Upload {
    /// Its media type, such as `image/png`.
    pub content_type: String,
    /// The name it is offered under when downloaded.
    pub filename: Option<String>,
    /// The file.
    pub bytes: Bytes,
}

impl Upload {
    /// A file without a name.
    pub fn new(content_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self {
            content_type: content_type.into(),
            filename: None,
            bytes: bytes.into(),
        }
    }

    /// Names the file.
    #[must_use]
    pub fn filename(mut self, filename: impl Into<String>) -> Self {
        self.filename = Some(filename.into());
        self
    }
}

/// A file to download.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Download {
    /// Where it is.
    pub uri: OwnedMxcUri,
    /// The most bytes to take. `None`: as many as the client takes at all.
    pub max_bytes: Option<u64>,
}

impl Download {
    /// The file at `uri`, as large as the client allows.
    pub fn new(uri: &MxcUri) -> Self {
        Self {
            uri: uri.to_owned(),
            max_bytes: None,
        }
    }

    /// Takes at most this many bytes; a larger file is the error `BodyTooLarge`.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = Some(max_bytes);
        self
    }
}

/// A downloaded file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Media {
    /// The media type that the server gives, usually the uploader's claim. Not to be trusted.
    pub content_type: Option<String>,
    /// The name that the server gives. Not to be trusted: it may contain path separators.
    pub filename: Option<String>,
    /// The file.
    pub bytes: Bytes,
}

impl Media {
    /// A file with the given type, name and content.
    pub fn new(content_type: Option<String>, filename: Option<String>, bytes: impl Into<Bytes>) -> Self {
        Self {
            content_type,
            filename,
            bytes: bytes.into(),
        }
    }
}

/// The limits of the server's media repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaConfig {
    /// The largest upload in bytes. `None`: the server does not say.
    pub max_upload_bytes: Option<u64>,
}

impl MediaConfig {
    /// With the given limit.
    pub fn new(max_upload_bytes: Option<u64>) -> Self {
        Self { max_upload_bytes }
    }
}
