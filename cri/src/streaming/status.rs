//! How the end of a command is told to its client: as Kubernetes' `Status` from version 4 on, as text before.

use bytes::Bytes;
use serde_json::{Value, json};

use super::upgrade::Version;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// With this exit code.
    Code(i32),
    /// It could not be started, or nobody knows how it ended.
    Failed(String),
}

impl End {
    /// What is sent on the error channel; nothing for a success in the old versions.
    pub(super) fn tell(&self, version: Version) -> Bytes {
        let text = match self {
            Self::Code(0) if version < Version::V4 => return Bytes::new(),
            Self::Code(code) if version < Version::V4 => format!("command terminated with exit code {code}"),
            Self::Failed(why) if version < Version::V4 => why.clone(),
            end => end.status().to_string(),
        };
        text.into()
    }

    fn status(&self) -> Value {
        match self {
            Self::Code(0) => json!({ "metadata": {}, "status": "Success" }),
            Self::Code(code) => json!({
                "metadata": {},
                "status": "Failure",
                "message": format!("command terminated with exit code {code}"),
                "reason": "NonZeroExitCode",
                "details": { "causes": [{ "reason": "ExitCode", "message": exit_code(*code).to_string() }] },
            }),
            Self::Failed(why) => json!({
                "metadata": {},
                "status": "Failure",
                "message": why,
                "reason": "InternalError",
                "code": 500,
            }),
        }
    }
}

/// A code that clients take: they know eight bits, and no failure may become a success.
fn exit_code(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(end: &End) -> Value {
        serde_json::from_slice(&end.tell(Version::V4)).unwrap()
    }

    #[test]
    fn an_exit_code_travels_as_a_cause() {
        assert_eq!(told(&End::Code(0))["status"], "Success");
        let failed = told(&End::Code(7));
        assert_eq!((&failed["status"], &failed["reason"]), (&json!("Failure"), &json!("NonZeroExitCode")));
        assert_eq!(failed["details"]["causes"][0], json!({ "reason": "ExitCode", "message": "7" }));
        assert_eq!(told(&End::Code(-1))["details"]["causes"][0]["message"], "255");
    }

    #[test]
    fn a_failure_says_why() {
        let failed = told(&End::Failed("the guest is gone".into()));
        assert_eq!((&failed["status"], &failed["message"]), (&json!("Failure"), &json!("the guest is gone")));
    }

    #[test]
    fn old_clients_get_text() {
        assert_eq!(End::Code(0).tell(Version::V1), "");
        assert_eq!(End::Code(3).tell(Version::V2), "command terminated with exit code 3");
        assert_eq!(End::Failed("why".into()).tell(Version::V3), "why");
    }
}
