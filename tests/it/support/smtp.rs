//! A mail server that keeps what it is given (RFC 5321, as much as a client needs), or refuses it; over TLS where it is
//! asked to (RFC 3207, RFC 8314).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use vestibule::outbound::mail::{MailConfig, MailRoute};

const SERVER: &[u8] = include_bytes!("../../fixtures/tls/server.pem");

/// The authority that vouches for the server's certificate.
pub fn authority() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/ca.pem").into()
}

/// A message as it was handed over.
#[derive(Clone, Debug, Default)]
pub struct RedirectPayload {
    /// `MAIL FROM`.
    pub from: String,
    /// `RCPT TO`.
    pub to: Vec<String>,
    /// Headers and body.
    pub data: String,
    /// User and password, base64, where somebody logged in.
    pub login: Option<String>,
    /// It came over TLS.
    pub is_protected: bool,
}

/// What the server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offers {
    /// No TLS.
    Plain,
    /// TLS after `STARTTLS`.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// The server.
pub struct Smtp {
    port: u16,
    stored: Arc<StoredMail>,
}

#[derive(Default)]
struct StoredMail {
    handed: Mutex<Vec<RedirectPayload>>,
    refusals: Mutex<u32>,
    heard: Mutex<Vec<String>>,
}

impl Smtp {
    /// A server on a free port, without TLS.
    pub fn start() -> Self {
        Self::offering(Offers::Plain)
    }

    /// A server on a free port, with a thread for each connection.
    pub fn offering(offers: Offers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stored = Arc::<StoredMail>::default();
        let (keep, tls) = (Arc::clone(&stored), tls());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (keep, tls) = (Arc::clone(&keep), Arc::clone(&tls));
                std::thread::spawn(move || serve(stream, offers, &keep, tls));
            }
        });
        Self { port, stored }
    }

    /// The next `count` recipients are refused for now.
    pub fn refuse(&self, count: u32) {
        *self.stored.refusals.lock().unwrap() = count;
    }

    /// The settings that lead here without TLS.
    pub fn config(&self) -> MailConfig {
        self.config_by("smtp")
    }

    /// The settings that lead here by a scheme of `email.url`.
    pub fn config_by(&self, scheme: &str) -> MailConfig {
        MailConfig {
            route: MailRoute::parse(&format!("{scheme}://vestibule:hunter2@127.0.0.1:{}", self.port)).unwrap(),
            from: "Acme <no-reply@acme.example>".parse().unwrap(),
            reply_to: Some("help@acme.example".parse().unwrap()),
        }
    }

    /// What was handed over so far.
    pub fn handed(&self) -> Vec<RedirectPayload> {
        self.stored.handed.lock().unwrap().clone()
    }

    /// The commands that came without TLS, by their verbs.
    pub fn heard_in_the_clear(&self) -> Vec<String> {
        self.stored.heard.lock().unwrap().clone()
    }
}

fn tls() -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = CertificateDer::pem_slice_iter(SERVER).map(Result::unwrap).collect();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::from_pem_slice(SERVER).unwrap());
    Arc::new(config.unwrap())
}

fn serve(mut stream: TcpStream, offers: Offers, keep: &StoredMail, tls: Arc<ServerConfig>) {
    let protected = |stream| StreamOwned::new(ServerConnection::new(tls).unwrap(), stream);
    if offers == Offers::Tls {
        let mut stream = protected(stream);
        if stream.write_all(b"220 test ready\r\n").is_ok() {
            converse(stream, Offers::Plain, true, keep);
        }
        return;
    }
    if stream.write_all(b"220 test ready\r\n").is_err() {
        return;
    }
    if let Some(stream) = converse(stream, offers, false, keep) {
        converse(protected(stream), Offers::Plain, true, keep);
    }
}

/// One conversation; the stream, where it is to go on over TLS.
fn converse<S: Read + Write>(stream: S, offers: Offers, is_protected: bool, keep: &StoredMail) -> Option<S> {
    let mut stream = BufReader::new(stream);
    let mut message = RedirectPayload { is_protected, ..RedirectPayload::default() };
    loop {
        let line = read_line(&mut stream)?;
        let verb: String = line.chars().take(4).collect::<String>().to_ascii_uppercase();
        if !is_protected {
            keep.heard.lock().unwrap().push(verb.clone());
        }
        let answer = match verb.as_str() {
            "EHLO" if offers == Offers::StartTls => "250-test\r\n250 STARTTLS\r\n",
            "EHLO" => "250-test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN\r\n",
            "STAR" if offers == Offers::StartTls => {
                stream.get_mut().write_all(b"220 go on\r\n").ok()?;
                return Some(stream.into_inner());
            }
            "STAR" => "502 no\r\n",
            "AUTH" => {
                message.login = line.split(' ').nth(2).map(str::to_owned);
                "235 welcome\r\n"
            }
            "MAIL" => {
                message.from = line[10..].to_owned();
                "250 ok\r\n"
            }
            "RCPT" if is_refused(keep) => "451 not now, dear secret@person.example\r\n",
            "RCPT" => {
                message.to.push(line[8..].to_owned());
                "250 ok\r\n"
            }
            "DATA" => {
                stream.get_mut().write_all(b"354 go on\r\n").ok()?;
                message.data = read_data(&mut stream)?;
                let next = RedirectPayload { login: message.login.clone(), is_protected, ..RedirectPayload::default() };
                keep.handed.lock().unwrap().push(std::mem::replace(&mut message, next));
                "250 stored\r\n"
            }
            "QUIT" => {
                let _ = stream.get_mut().write_all(b"221 bye\r\n");
                return None;
            }
            _ => "250 ok\r\n",
        };
        stream.get_mut().write_all(answer.as_bytes()).ok()?;
        stream.get_mut().flush().ok()?;
    }
}

/// A line without its end; `None` where nothing more comes.
fn read_line(stream: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let length = stream.read_line(&mut line).ok()?;
    (length > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_data(stream: &mut impl BufRead) -> Option<String> {
    let mut data = String::new();
    loop {
        let line = read_line(stream)?;
        if line == "." {
            return Some(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
        data.push('\n');
    }
}

fn is_refused(keep: &StoredMail) -> bool {
    let mut left = keep.refusals.lock().unwrap();
    let refused = *left > 0;
    *left = left.saturating_sub(1);
    refused
}
