//! Which kind of operating system a guest has: configured with its protocol, and never guessed from that.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A kind of operating system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// Linux, with a POSIX `sh`.
    #[default]
    #[serde(rename = "linux")]
    Unix,
    /// Windows, from Server 2008 R2 on, with its own PowerShell (2.0 or later).
    #[serde(rename = "windows")]
    Windows,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Unix, Self::Windows];

    /// Who may do everything, by name.
    pub fn administrator(self) -> &'static str {
        match self {
            Self::Unix => "root",
            Self::Windows => "Administrator",
        }
    }

    /// Whether what a pod has laid over it lies in its memory, and goes with its next boot.
    pub fn forgets_at_boot(self) -> bool {
        match self {
            Self::Unix => true,
            Self::Windows => false,
        }
    }

    /// Whether its images have cloud-init as a rule.
    pub fn has_cloud_init(self) -> bool {
        match self {
            Self::Unix => true,
            Self::Windows => false,
        }
    }

    /// How a line ends for a program that reads a pipe.
    pub fn line_end(self) -> &'static [u8] {
        match self {
            Self::Unix => b"\n",
            Self::Windows => b"\r\n",
        }
    }

    /// What this family cannot do, and what to do about that.
    pub(crate) fn lacks(self, what: &str, remedy: &str) -> Error {
        let name = match self {
            Self::Unix => "Linux",
            Self::Windows => "Windows",
        };
        Error::Unsupported(format!("a guest with {name} {what}: {remedy}"))
    }
}
