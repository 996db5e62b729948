//! How long a server takes from nothing to its first connection, and to stop.

use std::time::Instant;

use everdure_embedded::{Error, PostgresBinaries, Server};

fn main() -> Result<(), Error> {
    for binaries in [PostgresBinaries::find(), PostgresBinaries::find_version(18)].into_iter().flatten() {
        let begin = Instant::now();
        let mut server = Server::builder().binaries(binaries).start()?;
        let ready = begin.elapsed();
        let begin = Instant::now();
        server.restart()?;
        let restarted = begin.elapsed();
        let (version, cpu, begin) = (server.version().clone(), server.cpu_seconds(), Instant::now());
        server.stop()?;
        println!("{version}: ready {ready:?}, restart {restarted:?}, stop {:?}, cpu {cpu}", begin.elapsed());
    }
    Ok(())
}
