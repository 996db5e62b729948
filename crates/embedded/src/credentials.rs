//! Who may connect, kept so that the next start of a persistent server prints the same URL.
//!
//! The server listens on the loopback interface, which every local user can reach; hence a random password, and a file
//! that only the owner reads.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::Error;
use crate::percent::encode;

/// User, password, database, and the port of the last start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
    pub(crate) last_port: Option<u16>,
}

impl Credentials {
    pub(crate) fn generate(user: &str, database: &str) -> Result<Self, Error> {
        let password = random_hex(16)?;
        Ok(Self { user: user.to_owned(), password, database: database.to_owned(), last_port: None })
    }

    pub(crate) fn url(&self, port: u16, database: &str) -> String {
        format!("postgres://{}:{}@127.0.0.1:{port}/{}", encode(&self.user), self.password, encode(database))
    }

    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse(&text).ok_or_else(|| Error::io("understand", path)(std::io::ErrorKind::InvalidData.into()))
    }

    /// Replaces the file in one step: a half-written one would lock the user out of the data.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Error> {
        let new = path.with_extension("new");
        write_private(&new, &self.to_text())?;
        fs::rename(&new, path).map_err(Error::io("write", path))
    }

    fn to_text(&self) -> String {
        let port = self.last_port.map_or_else(String::new, |port| format!("port={port}\n"));
        format!("user={}\npassword={}\ndatabase={}\n{port}", self.user, self.password, self.database)
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.split_once('=').filter(|(key, _)| *key == name))?;
            Some(line.1.to_owned())
        };
        let last_port = value("port").and_then(|port| port.parse().ok());
        Some(Self { user: value("user")?, password: value("password")?, database: value("database")?, last_port })
    }
}

/// Writes a new file that only its owner reads.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(Error::io("write", path))
}

/// `bytes` random bytes from the operating system, as hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> Result<String, Error> {
    let source = Path::new("/dev/urandom");
    let mut random = vec![0; bytes];
    File::open(source).and_then(|mut file| file.read_exact(&mut random)).map_err(Error::io("read", source))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back() {
        let mut credentials = Credentials::generate("ever", "db=1").expect("random numbers");
        for last_port in [None, Some(5432)] {
            credentials.last_port = last_port;
            assert_eq!(Credentials::parse(&credentials.to_text()).as_ref(), Some(&credentials));
        }
        assert_eq!(Credentials::parse("user=a\n"), None);
        assert_eq!(credentials.password.len(), 32);
    }
}
