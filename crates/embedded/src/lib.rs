//! A private PostgreSQL: found, started, stopped and swept.
//!
//! Everdure needs a database before it can show anything, and its tests need hundreds. This crate runs one from the
//! PostgreSQL binaries of the machine: as an ordinary process, on the loopback interface, with a random password and
//! default durability, owned by the process that started it.
//!
//! ```no_run
//! # fn main() -> Result<(), everdure_embedded::Error> {
//! let server = everdure_embedded::Server::builder().start()?; // ephemeral: gone with its owner
//! println!("{}", server.url());
//! server.stop()
//! # }
//! ```
//!
//! Three layers see to it that nothing is left behind: [`Drop`] stops the server; a watchdog process notices when the
//! owner ends in any other way (Ctrl-C, abort, `kill -9`); and [`sweep`], which every start of an ephemeral server
//! runs, removes what a killed watchdog or a lost machine left.
//!
//! Deliberately absent: downloads (`scripts/setup.sh` installs), an SQL client, an async API (calls block; wrap them in
//! `spawn_blocking`), upgrades between major versions, and systems without `/proc`.

mod builder;
mod server;

mod account;
mod binaries;
mod search;
mod version;

mod cluster;
mod credentials;
mod home;

mod launch;
mod pidfile;
mod port;
mod postmaster;
mod server_log;
mod watchdog;

mod sweep;

mod error;
mod percent;
mod proc;
mod segment;
mod wait;

pub use binaries::PostgresBinaries;
pub use builder::Builder;
pub use error::Error;
pub use server::Server;
pub use sweep::sweep;
pub use version::{SUPPORTED_MAJORS, Version};
