//! A proxy between the backend and the server that can lose the connection at the worst moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// When to lose the connection; each fault happens once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cut {
    Never = 0,
    /// The transaction never reaches the server.
    BeforeTheCommit = 1,
    /// The server commits, and nobody hears of it.
    AfterTheCommit = 2,
}

pub struct Proxy {
    pub port: u16,
    cut: Arc<AtomicU8>,
}

const COMMIT: &[u8] = b"commit\0";
const COMMITTED: &[u8] = b"COMMIT\0";

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let own = listener.local_addr().expect("bound").port();
        let cut = Arc::new(AtomicU8::new(Cut::Never as u8));
        let armed = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
                tokio::spawn(serve(client, server, Arc::clone(&armed)));
            }
        });
        Self { port: own, cut }
    }

    /// Loses the connection of the next commit.
    pub fn arm(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::SeqCst);
    }

    /// Whether the fault has happened.
    pub fn has_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst) == Cut::Never as u8
    }
}

async fn serve(client: TcpStream, server: TcpStream, cut: Arc<AtomicU8>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut asked, mut told) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            read = from_client.read(&mut asked) => {
                let Some(chunk) = some(read, &asked) else { return };
                if contains(chunk, COMMIT) {
                    let armed = cut.swap(Cut::Never as u8, Ordering::SeqCst);
                    if armed == Cut::BeforeTheCommit as u8 {
                        return;
                    }
                    if armed == Cut::AfterTheCommit as u8 {
                        return commit_unheard(chunk, &mut to_server, &mut from_server).await;
                    }
                }
                if to_server.write_all(chunk).await.is_err() {
                    return;
                }
            }
            read = from_server.read(&mut told) => {
                let Some(chunk) = some(read, &told) else { return };
                if to_client.write_all(chunk).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn some(read: std::io::Result<usize>, buffer: &[u8]) -> Option<&[u8]> {
    read.ok().filter(|count| *count > 0).map(|count| &buffer[..count])
}

async fn commit_unheard(chunk: &[u8], to_server: &mut OwnedWriteHalf, from_server: &mut OwnedReadHalf) {
    if to_server.write_all(chunk).await.is_err() {
        return;
    }
    let mut heard = Vec::new();
    let mut buffer = vec![0; 65536];
    while !contains(&heard, COMMITTED) {
        let Some(chunk) = some(from_server.read(&mut buffer).await, &buffer).map(<[u8]>::to_vec) else { return };
        heard.extend(chunk);
    }
}
