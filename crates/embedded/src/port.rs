//! Ports on the loopback interface.
//!
//! A free port is looked for *outside* the range from which the kernel takes the ports of outgoing connections. Inside
//! of it a client that reconnects to a stopped server may be given the server's own port, connect to itself, and so
//! keep the server from coming back; tests that crash servers would see that once in a while.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use crate::credentials::random_hex;
use crate::error::Error;
use crate::proc;

/// The lowest port that is picked; below are those that people and packages use.
const LOWEST: u16 = 16_000;
const TRIES: usize = 50;

/// A port on which nobody listens now. Somebody may a moment later: who uses it must be ready to ask again.
pub(crate) fn pick_free() -> Result<u16, Error> {
    let end = outgoing_ports_begin().filter(|begin| *begin > LOWEST + 1000).unwrap_or(32_768);
    for _ in 0..TRIES {
        let random = u16::from_str_radix(&random_hex(2)?, 16).unwrap_or(0);
        let port = LOWEST + random % (end - LOWEST);
        if is_free(port) {
            return Ok(port);
        }
    }
    Err(Error::PortsExhausted { tries: TRIES })
}

/// Whether a server could listen there.
pub(crate) fn is_free(port: u16) -> bool {
    !matches!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)), Err(error) if error.kind() == io::ErrorKind::AddrInUse)
}

/// The error for a port that is taken, with the process that has it where that can be seen.
pub(crate) fn in_use(port: u16) -> Error {
    Error::PortInUse { port, pid: listener(port) }
}

fn outgoing_ports_begin() -> Option<u16> {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?.split_whitespace().next()?.parse().ok()
}

fn listener(port: u16) -> Option<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let inode = tables.iter().find_map(|table| listening_inode(table, port))?;
    let socket = format!("socket:[{inode}]");
    proc::all().into_iter().map(|process| process.pid).find(|pid| has_open(*pid, &socket))
}

/// Columns: slot, local address and port in hexadecimal, remote address, state (0A listens), …, inode as the tenth.
fn listening_inode(table: &str, port: u16) -> Option<String> {
    let suffix = format!(":{port:04X}");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut rows = rows.filter(|row| row.len() > 9);
    let row = rows.find(|row| row[1].ends_with(&suffix) && row[3] == "0A")?;
    Some(row[9].to_owned())
}

fn has_open(pid: u32, target: &str) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_process_that_listens() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        assert!(!is_free(port));
        let error = in_use(port);
        assert!(matches!(error, Error::PortInUse { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
    }

    #[test]
    fn picks_ports_that_clients_are_not_given() {
        let port = pick_free().expect("a free port");
        assert!(port >= LOWEST && is_free(port));
    }
}
