//! Mail over SMTP, or into a directory. What goes wrong is reported without any text of the server's answer, which may
//! repeat the address.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// How long the server may take for each step.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where mail goes (`email.*`).
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// `email.url`.
    pub route: MailRoute,
    /// `email.from`.
    pub from: Mailbox,
    /// `email.reply_to`.
    pub reply_to: Option<Mailbox>,
}

/// The way mail takes.
#[derive(Clone, Debug)]
pub enum MailRoute {
    /// To a mail server.
    Smtp(SmtpServer),
    /// One file per message into this directory.
    Directory(PathBuf),
}

/// A mail server.
#[derive(Clone, Debug)]
pub struct SmtpServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub protection: Protection,
    /// User and password.
    pub login: Option<(String, SecretString)>,
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Not at all (`smtp://`).
    None,
    /// Plain at first, then TLS or nothing (`smtp+starttls://`).
    StartTls,
    /// TLS from the first byte (`smtps://`).
    Tls,
}

impl MailRoute {
    /// Reads `email.url`.
    ///
    /// # Errors
    /// What is accepted, in words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str =
            "like smtps://user:password@mail.example:465, smtp+starttls://…, smtp://… or file:/directory";
        let url = Url::parse(text).map_err(|_| FORM)?;
        let protection = match url.scheme() {
            "smtp" => Protection::None,
            "smtp+starttls" => Protection::StartTls,
            "smtps" => Protection::Tls,
            "file" => return Ok(Self::Directory(PathBuf::from(url.path()))),
            _ => return Err(FORM),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(FORM)?;
        let port = url.port().unwrap_or(match protection {
            Protection::None => 25,
            Protection::StartTls => 587,
            Protection::Tls => 465,
        });
        let password = SecretString::from(decoded(url.password().unwrap_or_default()));
        let login = (!url.username().is_empty()).then(|| (decoded(url.username()), password));
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self::Smtp(SmtpServer { host, port, protection, login }))
    }
}

/// Undoes the percent encoding of a part of an address.
fn decoded(part: &str) -> String {
    let query = format!("part={}", part.replace('+', "%2B"));
    url::form_urlencoded::parse(query.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// A message about to be sent.
#[derive(Debug)]
pub struct OutgoingMail {
    /// Names it: a second delivery of the same has the same `Message-ID`.
    pub id: String,
    /// To whom.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// For people who read text.
    pub text: String,
    /// The same for everybody else.
    pub html: String,
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// It cannot be written down: an address that no mail can have.
    #[error("the message cannot be written")]
    Unwritable,
    /// The server refused with this SMTP code.
    #[error("the mail server refused with {0}")]
    Refused(String),
    /// No usable connection: unreachable, no TLS, cut off, too slow.
    #[error("the mail server cannot be reached or broke off: {0}")]
    Unreachable(&'static str),
    /// The directory cannot be written to.
    #[error("the mail directory cannot be written to: {0}")]
    Directory(std::io::ErrorKind),
}

/// Why mail cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum MailStartError {
    /// `outbound.ca_file` cannot be read.
    #[error("outbound.ca_file cannot be read: {0}")]
    CaFile(std::io::Error),
    /// TLS cannot be set up.
    #[error("TLS for email.url cannot be set up: {0}")]
    Tls(lettre::transport::smtp::Error),
}

/// Sends mail.
#[derive(Debug)]
pub struct Mailer {
    way: MailTransport,
    from: Mailbox,
    reply_to: Option<Mailbox>,
}

#[derive(Debug)]
enum MailTransport {
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>),
    Directory(PathBuf),
}

impl Mailer {
    /// Sets the way up; connects to nobody yet.
    ///
    /// # Errors
    /// What cannot be set up.
    pub fn new(config: &MailConfig, ca_file: Option<&Path>) -> Result<Self, MailStartError> {
        let way = match &config.route {
            MailRoute::Directory(path) => MailTransport::Directory(path.clone()),
            MailRoute::Smtp(server) => MailTransport::Smtp(Box::new(transport(server, ca_file)?)),
        };
        Ok(Self { way, from: config.from.clone(), reply_to: config.reply_to.clone() })
    }

    /// Sends one message.
    ///
    /// # Errors
    /// Why it was not sent.
    pub async fn send(&self, letter: OutgoingMail) -> Result<(), MailError> {
        let id = letter.id.clone();
        let message = self.written(letter)?;
        match &self.way {
            MailTransport::Smtp(transport) => transport.send(message).await.map(drop).map_err(|error| refusal(&error)),
            MailTransport::Directory(path) => {
                let file = path.join(format!("{id}.eml"));
                tokio::fs::write(file, message.formatted()).await.map_err(|error| MailError::Directory(error.kind()))
            }
        }
    }

    fn written(&self, letter: OutgoingMail) -> Result<Message, MailError> {
        let unwritable = |_| MailError::Unwritable;
        let to = letter.to.parse().map_err(unwritable)?;
        let mut message = Message::builder().from(self.from.clone()).to(Mailbox::new(None, to)).subject(letter.subject);
        if let Some(reply_to) = &self.reply_to {
            message = message.reply_to(reply_to.clone());
        }
        let message = message.message_id(Some(format!("<{}@{}>", letter.id, self.from.email.domain())));
        let body = MultiPart::alternative_plain_html(letter.text, letter.html);
        message.multipart(body).map_err(|_| MailError::Unwritable)
    }
}

fn transport(
    server: &SmtpServer,
    ca_file: Option<&Path>,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, MailStartError> {
    let tls = match server.protection {
        Protection::None => Tls::None,
        Protection::StartTls => Tls::Required(tls(&server.host, ca_file)?),
        Protection::Tls => Tls::Wrapper(tls(&server.host, ca_file)?),
    };
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host);
    let mut builder = builder.port(server.port).tls(tls).timeout(Some(PATIENCE));
    if let Some((user, password)) = &server.login {
        builder = builder.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
    }
    Ok(builder.build())
}

/// TLS that trusts what the system trusts, and the operator's own authorities.
fn tls(host: &str, ca_file: Option<&Path>) -> Result<TlsParameters, MailStartError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = ca_file {
        let pem = std::fs::read(path).map_err(MailStartError::CaFile)?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(MailStartError::Tls)?);
    }
    builder.build().map_err(MailStartError::Tls)
}

fn refusal(error: &lettre::transport::smtp::Error) -> MailError {
    match error.status() {
        Some(code) => MailError::Refused(code.to_string()),
        None if error.is_timeout() => MailError::Unreachable("too slow"),
        None => MailError::Unreachable(why_unreachable(error)),
    }
}

/// What went wrong before the server could answer. The library calls a failed handshake a failed connection.
fn why_unreachable(error: &lettre::transport::smtp::Error) -> &'static str {
    let mut source = error.source();
    while let Some(cause) = source {
        let inside = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match inside.and_then(|inside| inside.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(_)) => return "its certificate is not trusted",
            Some(_) => return "no TLS",
            None => source = cause.source(),
        }
    }
    // What it can do is said before anything of ours that matters: nothing was sent.
    if error.is_client() { "it offers no TLS, or no login that we know" } else { "no connection" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smtp(text: &str) -> SmtpServer {
        match MailRoute::parse(text) {
            Ok(MailRoute::Smtp(server)) => server,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn reads_the_forms_of_the_setting() {
        let server = smtp("smtp+starttls://ada%40x.example:p%2Fa+ss@mail.example");
        assert_eq!((server.host.as_str(), server.port), ("mail.example", 587));
        assert_eq!(server.protection, Protection::StartTls);
        let (user, password) = server.login.unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("ada@x.example", "p/a+ss"));
        assert_eq!(smtp("smtps://mail.example").port, 465);
        assert_eq!(smtp("smtp://[::1]:2525").host, "::1");
        assert!(smtp("smtp://127.0.0.1:2525").login.is_none());
        assert!(
            matches!(MailRoute::parse("file:/var/mail"), Ok(MailRoute::Directory(path)) if path == Path::new("/var/mail"))
        );
        for text in ["", "mail.example", "http://mail.example", "smtp://"] {
            assert!(MailRoute::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_password_is_not_shown() {
        assert!(!format!("{:?}", smtp("smtps://ada:hunter2@mail.example")).contains("hunter2"));
    }
}
