//! A way to the tests' PostgreSQL that can be made to fail silently: nothing is closed, nothing is refused, and nothing
//! arrives.

use super::server::TestServer;
use std::io;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A forwarder on a port of its own. It ends with this value.
pub struct Forwarder {
    port: u16,
    mode: watch::Sender<Mode>,
    accepting: JoinHandle<()>,
}

/// What happens to bytes.
#[derive(Clone, Copy, Default)]
struct Mode {
    /// How often connections were made to swallow: those accepted before the last time do.
    swallowing: usize,
    /// Everything waits.
    is_frozen: bool,
    /// Everything is closed.
    is_cut: bool,
}

/// Where the server listens.
#[derive(Clone)]
enum Server {
    Socket(PathBuf),
    Address(String, u16),
}

impl Forwarder {
    /// To the tests' server.
    pub async fn start() -> Self {
        let admin = &TestServer::get().await.admin;
        let server = match admin.get_socket() {
            Some(folder) => Server::Socket(folder.join(format!(".s.PGSQL.{}", admin.get_port()))),
            None => Server::Address(admin.get_host().to_owned(), admin.get_port()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = watch::Sender::new(Mode::default());
        let accepting = tokio::spawn(accept(listener, server, mode.clone()));
        Self { port, mode, accepting }
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on the connections that there are swallow everything, in both directions; new ones work.
    pub fn swallow(&self) {
        self.mode.send_modify(|mode| mode.swallowing += 1);
    }

    /// Closes every connection, also new ones at once, until [`Self::mend`].
    pub fn cut(&self) {
        self.mode.send_modify(|mode| mode.is_cut = true);
    }

    /// New connections work again.
    pub fn mend(&self) {
        self.mode.send_modify(|mode| mode.is_cut = false);
    }

    /// Nothing moves on any connection until [`Self::thaw`], as if the server's host stood still.
    pub fn freeze(&self) {
        self.mode.send_modify(|mode| mode.is_frozen = true);
    }

    /// Everything that waited moves on.
    pub fn thaw(&self) {
        self.mode.send_modify(|mode| mode.is_frozen = false);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: Server, mode: watch::Sender<Mode>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        let (server, mode) = (server.clone(), mode.subscribe());
        let born = mode.borrow().swallowing;
        tokio::spawn(async move {
            let _ = match server {
                Server::Socket(path) => forward(client, UnixStream::connect(path).await, born, mode).await,
                Server::Address(host, port) => {
                    forward(client, TcpStream::connect((host, port)).await, born, mode).await
                }
            };
        });
    }
}

/// Until either end closes.
async fn forward(
    client: TcpStream,
    server: io::Result<impl AsyncRead + AsyncWrite>,
    born: usize,
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server?);
    tokio::select! {
        ended = copy(from_client, to_server, born, mode.clone()) => ended,
        ended = copy(from_server, to_client, born, mode.clone()) => ended,
        _ = mode.wait_for(|mode| mode.is_cut) => Ok(()),
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    born: usize,
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        let Ok(mode) = mode.wait_for(|mode| !mode.is_frozen).await.map(|mode| *mode) else { return Ok(()) };
        if born == mode.swallowing {
            to.write_all(&bytes[..count]).await?;
        }
    }
}
