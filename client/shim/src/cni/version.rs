//! The versions of the CNI specification that are spoken here.

use serde_json::{Value, json};

use super::error::{Code, Error};
use crate::input::{self, Object};

/// One of them, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.3.1.
    V0_3_1,
    /// 0.4.0: CHECK.
    V0_4_0,
    /// 1.0.0: addresses without their family.
    V1_0_0,
    /// 1.1.0: GC, STATUS, and the MTU in results.
    V1_1_0,
}

impl Version {
    const ALL: [Self; 4] = [Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    /// The newest.
    pub const NEWEST: Self = Self::V1_1_0;

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// The version of a configuration. Without one it would be 0.1.0, which is not spoken here.
    pub fn of(config: &Object) -> Result<Self, Error> {
        let text = input::text(config, "cniVersion")?;
        Self::ALL.into_iter().find(|version| version.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            let details = format!("the configuration has {text:?}, and v6pod speaks {known}");
            Error::new(Code::Version, "incompatible CNI versions", details)
        })
    }

    /// The answer to VERSION. The input decides nothing but which version the answer is of.
    pub fn answer(config: &Object) -> Value {
        let version = config.get("cniVersion").filter(|version| version.is_string());
        json!({
            "cniVersion": version.cloned().unwrap_or_else(|| Self::NEWEST.as_str().into()),
            "supportedVersions": Self::ALL.map(Self::as_str),
        })
    }
}
