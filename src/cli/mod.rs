//! The command line: one file per subcommand. Everything that data can be changed with goes through `actions`, as the
//! APIs do. Named by `main` only; may name everything.
//!
//! Rules: answers on stdout, messages and progress on stderr; `--json` prints one document
//! and nothing else; secrets are never arguments; one clear message per failure, with its exit code.

mod app;
mod client;
mod database;
mod dev;
mod failure;
mod flow;
mod healthcheck;
mod home;
mod instance;
mod keys;
mod migrate;
mod open;
mod origins;
mod port;
mod provider;
mod prune;
mod secret;
pub mod selftest;
mod serve;
mod settings;
mod show;
mod signals;
mod token;
mod version;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use failure::Failure;

/// A self-hosted identity service that speaks the protocol of the Clerk SDKs.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, propagate_version = true, disable_help_subcommand = true)]
struct CommandLine {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
struct Global {
    /// Configuration file [default: ./vestibule.toml, /etc/vestibule/vestibule.toml]
    #[arg(short, long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Name or id of the instance [default: the only one]
    #[arg(short, long, global = true, value_name = "NAME", env = "VESTIBULE_INSTANCE", hide_env = true)]
    instance: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Say more (repeat for even more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say only what failed
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server and its background work
    Serve(serve::Options),
    /// Run everything for development: private database, keys, simulated providers
    Dev(dev::Options),
    /// Bring the database to this version's schema
    Migrate(migrate::Options),
    /// Instances of apps
    #[command(subcommand)]
    Instance(instance::Command),
    /// Social providers of an instance
    #[command(subcommand)]
    Provider(provider::Command),
    /// OAuth applications of an instance
    #[command(subcommand)]
    App(app::Command),
    /// Tokens of providers that backends may use
    #[command(subcommand)]
    Token(token::Command),
    /// The key ring
    #[command(subcommand)]
    Keys(keys::Command),
    /// Recorded flows of an instance: why a sign-in failed
    #[command(subcommand)]
    Flow(flow::Command),
    /// Remove what is over now, or show what waits to be removed
    Prune(prune::Options),
    /// Ask a running server whether it is alive
    Healthcheck(healthcheck::Options),
    /// Walk through the main journeys against a running development server
    Selftest(selftest::command::Options),
    /// Show version and schema
    Version,
}

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    let CommandLine { global, command } = CommandLine::parse();
    // One TLS implementation for the whole process; a second call is refused, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::failed(format!("the runtime does not start: {error}")).print(),
    };
    let outcome = runtime.block_on(run(global, command));
    // A lookup of a name or a read from the terminal may still be blocking a thread; it is not worth waiting for.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.print(),
    }
}

async fn run(global: Global, command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(options) => serve::run(&global, options).await,
        Command::Dev(options) => dev::run(&global, options).await,
        Command::Migrate(options) => migrate::run(&global, options).await,
        Command::Instance(command) => instance::run(&global, command).await,
        Command::Provider(command) => provider::run(&global, command).await,
        Command::App(command) => app::run(&global, command).await,
        Command::Token(command) => token::run(&global, command).await,
        Command::Keys(command) => keys::run(&global, command).await,
        Command::Flow(command) => flow::run(&global, command).await,
        Command::Prune(options) => prune::run(&global, &options).await,
        Command::Healthcheck(options) => healthcheck::run(&global, options).await,
        Command::Selftest(options) => selftest::command::run(&global, options).await,
        Command::Version => version::run(&global),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use std::path::{Path, PathBuf};

    #[test]
    fn the_grammar_is_sound() {
        super::CommandLine::command().debug_assert();
    }

    /// Files that may advise somebody to run a command.
    fn advice(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                advice(&path, found);
            } else if path
                .extension()
                .is_some_and(|kind| ["rs", "md", "toml", "html"].iter().any(|known| kind == *known))
            {
                found.push(path);
            }
        }
    }

    #[test]
    fn only_commands_that_exist_are_advised() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = ["README.md", "CHANGELOG.md", "SECURITY.md"].map(|name| root.join(name)).to_vec();
        for folder in ["src", "docs", "config"] {
            advice(&root.join(folder), &mut files);
        }
        let grammar = super::CommandLine::command();
        let (mut seen, mut unknown) = (0, Vec::new());
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for start in ["`vestibule ", "`cargo run -- "] {
                for (at, _) in text.match_indices(start) {
                    let said = text[at + start.len()..].split('`').next().unwrap();
                    // A sentence in a string goes on after a backslash at the line's end.
                    let said = said.replace("\\\n", " ").replace("//!", " ").replace("///", " ");
                    let word =
                        |word: &&str| word.chars().all(|letter| letter.is_ascii_lowercase() || "-|".contains(letter));
                    let mut command = &grammar;
                    for words in said.split_whitespace().take_while(word).filter(|word| !word.starts_with('-')) {
                        if !command.has_subcommands() {
                            break;
                        }
                        seen += 1;
                        let known: Vec<_> = words.split('|').map(|word| command.find_subcommand(word)).collect();
                        match known.iter().all(Option::is_some).then(|| known.into_iter().next().flatten()) {
                            Some(Some(next)) => command = next,
                            _ => {
                                unknown.push(format!("{}: {said}", file.display()));
                                break;
                            }
                        }
                    }
                }
            }
        }
        assert!(seen > 50 && unknown.is_empty(), "{seen} seen; unknown: {unknown:#?}");
    }
}
