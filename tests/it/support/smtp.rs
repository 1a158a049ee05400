//! A mail server that keeps what it is given (RFC 5321, as much as a client needs), or refuses it.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use vestibule::outbound::mail::{MailConfig, MailRoute};

/// A message as it was handed over.
#[derive(Clone, Debug, Default)]
pub struct Handed {
    /// `MAIL FROM`.
    pub from: String,
    /// `RCPT TO`.
    pub to: Vec<String>,
    /// Headers and body.
    pub data: String,
    /// User and password, base64, where somebody logged in.
    pub login: Option<String>,
}

/// The server.
pub struct Smtp {
    port: u16,
    handed: Arc<Mutex<Vec<Handed>>>,
    refusals: Arc<Mutex<u32>>,
}

impl Smtp {
    /// A server on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (handed, refusals) = (Arc::<Mutex<Vec<Handed>>>::default(), Arc::<Mutex<u32>>::default());
        let (keep, refuse) = (Arc::clone(&handed), Arc::clone(&refusals));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&keep), Arc::clone(&refuse)));
            }
        });
        Self { port, handed, refusals }
    }

    /// The next `count` recipients are refused for now.
    pub fn refuse(&self, count: u32) {
        *self.refusals.lock().unwrap() = count;
    }

    /// The settings that lead here.
    pub fn config(&self) -> MailConfig {
        MailConfig {
            route: MailRoute::parse(&format!("smtp://vestibule:hunter2@127.0.0.1:{}", self.port)).unwrap(),
            from: "Acme <no-reply@acme.example>".parse().unwrap(),
            reply_to: Some("help@acme.example".parse().unwrap()),
        }
    }

    /// What was handed over so far.
    pub fn handed(&self) -> Vec<Handed> {
        self.handed.lock().unwrap().clone()
    }
}

async fn converse(stream: TcpStream, keep: Arc<Mutex<Vec<Handed>>>, refuse: Arc<Mutex<u32>>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut message = Handed::default();
    write.write_all(b"220 test ready\r\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        let verb: String = line.chars().take(4).collect::<String>().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => "250-test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN\r\n",
            "AUTH" => {
                message.login = line.split(' ').nth(2).map(str::to_owned);
                "235 welcome\r\n"
            }
            "MAIL" => {
                message.from = line[10..].to_owned();
                "250 ok\r\n"
            }
            "RCPT" => {
                let refused = {
                    let mut left = refuse.lock().unwrap();
                    let refused = *left > 0;
                    *left = left.saturating_sub(1);
                    refused
                };
                if refused {
                    "451 not now, dear secret@person.example\r\n"
                } else {
                    message.to.push(line[8..].to_owned());
                    "250 ok\r\n"
                }
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await.unwrap();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line == "." {
                        break;
                    }
                    message.data.push_str(line.strip_prefix('.').unwrap_or(&line));
                    message.data.push('\n');
                }
                let login = message.login.clone();
                keep.lock().unwrap().push(std::mem::take(&mut message));
                message.login = login;
                "250 kept\r\n"
            }
            "QUIT" => {
                let _ = write.write_all(b"221 bye\r\n").await;
                return;
            }
            _ => "250 ok\r\n",
        };
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
