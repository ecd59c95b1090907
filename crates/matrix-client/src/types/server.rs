use std::{collections::BTreeMap, fmt};

use ruma::api::{MatrixVersion, SupportedVersions};

/// What a server says it speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Versions {
    /// The versions of the specification as the server spells them, such as `v1.11`. Unknown ones are kept.
    pub versions: Vec<String>,
    /// Features that are not, or not yet, in the specification, and whether they are on.
    pub unstable_features: BTreeMap<String, bool>,
}

impl Versions {
    /// The given versions and features.
    pub fn new(
        versions: impl IntoIterator<Item = impl Into<String>>,
        unstable_features: BTreeMap<String, bool>,
    ) -> Self {
        Self {
            versions: versions.into_iter().map(Into::into).collect(),
            unstable_features,
        }
    }

    /// Whether the server names this version, or the feature by which it announces the same.
    pub fn supports(&self, version: MatrixVersion) -> bool {
        self.to_ruma().versions.contains(&version)
    }

    /// The same in ruma's form. Versions that ruma does not know are left out.
    pub fn to_ruma(&self) -> SupportedVersions {
        SupportedVersions::from_parts(&self.versions, &self.unstable_features)
    }
}

/// A way to log in that a server offers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoginFlow {
    /// `m.login.password`
    Password,
    /// `m.login.application_service`
    Appservice,
    /// `m.login.token`
    Token,
    /// `m.login.sso`
    Sso,
    /// Any other, by its full name.
    Other(String),
}

impl LoginFlow {
    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Password => "m.login.password",
            Self::Appservice => "m.login.application_service",
            Self::Token => "m.login.token",
            Self::Sso => "m.login.sso",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for LoginFlow {
    fn from(name: &str) -> Self {
        match name {
            "m.login.password" => Self::Password,
            "m.login.application_service" => Self::Appservice,
            "m.login.token" => Self::Token,
            "m.login.sso" => Self::Sso,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for LoginFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
