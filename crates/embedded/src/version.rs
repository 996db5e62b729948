//! Versions of PostgreSQL, as `postgres --version` prints them.

use std::fmt;
use std::ops::RangeInclusive;

/// The major versions that Everdure runs on.
pub const SUPPORTED_MAJORS: RangeInclusive<u32> = 15..=18;

/// A version of PostgreSQL, such as 15.18 or 19beta1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    major: u32,
    text: String,
}

impl Version {
    /// The major version: 15 of 15.18.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Whether Everdure runs on it.
    pub fn is_supported(&self) -> bool {
        SUPPORTED_MAJORS.contains(&self.major)
    }

    /// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`: the word after the product's name counts, what
    /// packagers append does not.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let text = line.split_once("(PostgreSQL)")?.1.split_whitespace().next()?;
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        Some(Self { major: text[..digits].parse().ok()?, text: text.to_owned() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_whatever_the_packager_appends() {
        for (line, major, text) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", 15, "15.18"),
            ("postgres (PostgreSQL) 18.1", 18, "18.1"),
            ("postgres (PostgreSQL) 19beta1", 19, "19beta1"),
            ("postgres (PostgreSQL) 9.6.24", 9, "9.6.24"),
        ] {
            let version = Version::parse(line).expect("a version");
            assert_eq!((version.major(), version.to_string().as_str()), (major, text));
        }
        assert_eq!(Version::parse("bash: no such file"), None);
    }
}
