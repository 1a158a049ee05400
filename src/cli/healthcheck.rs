//! `vestibule healthcheck`: for containers without a shell.

use std::time::{Duration, Instant};

use clap::Args;
use url::Url;

use super::Global;
use super::client;
use super::failure::{Exit, Failure};
use crate::config::{Config, Listen, Sources, load, value};

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often is asked while waiting.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks a running server.
#[derive(Debug, Args)]
pub struct Options {
    /// Address of the server [default: the configured listener on this machine]
    #[arg(long)]
    url: Option<Url>,
    /// Ask whether it can serve (/readyz), not only whether it lives (/healthz)
    #[arg(long)]
    ready: bool,
    /// Ask again until it says yes, for at most this time (20s)
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    wait: Option<Duration>,
}

/// Runs the command: exit code 0 or 1.
pub async fn run(global: &Global, options: Options) -> Result<(), Failure> {
    let base = match options.url {
        Some(url) => url,
        None => local(global)?,
    };
    let path = if options.ready { "/readyz" } else { "/healthz" };
    let url = base.join(path).map_err(|_| Failure::new(Exit::Usage, "--url must be like http://localhost:8484"))?;
    let client = client::new(TIMEOUT)?;
    let begun = Instant::now();
    loop {
        let refusal = match client.get(url.clone()).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => {
                let status = answer.status();
                format!("{url} answers {status} {}", answer.text().await.unwrap_or_default())
            }
            Err(error) => format!("{url} does not answer: {}", client::cause(&error)),
        };
        if begun.elapsed() + PAUSE > options.wait.unwrap_or_default() {
            return Err(Failure::failed(refusal));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The first public listener, from this machine.
fn local(global: &Global) -> Result<Url, Failure> {
    let config = load(&Sources::of_this_process(global.config.clone()), Config::default())?.config;
    let address = match config.server.listen.first() {
        Some(Listen::Address(address)) if !address.ip().is_unspecified() => address.to_string(),
        Some(listen) => format!("localhost:{}", listen.port()),
        None => "localhost:8484".to_owned(),
    };
    Url::parse(&format!("http://{address}/")).map_err(|error| Failure::failed(error.to_string()))
}
