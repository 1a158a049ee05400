//! Values as people write them, and what they are read into.

use std::net::SocketAddr;
use std::time::Duration;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `localhost:<port>`: 127.0.0.1 and, where the machine has it, \[::1\]. Port 0 = any free one.
    Localhost(u16),
    /// One address.
    Address(SocketAddr),
}

impl Listen {
    /// The port asked for.
    pub fn port(&self) -> u16 {
        match self {
            Self::Localhost(port) => *port,
            Self::Address(address) => address.port(),
        }
    }

    /// True if only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Localhost(_) => true,
            Self::Address(address) => address.ip().is_loopback(),
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Localhost(port) => write!(f, "localhost:{port}"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// So many per length of time. A count of 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub window: Duration,
}

/// A length of time: a whole number and a unit, `500ms`, `30s`, `10m`, `12h`, `7d`.
///
/// # Errors
/// What is accepted, in words.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "a whole number and a unit: 500ms, 30s, 10m, 12h, 7d";
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).ok_or(FORM)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| FORM)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(FORM),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or(FORM)
}

/// How often something may happen: a count and a length of time, `5/10s`, `20/1h`; `0` = as often as one likes.
///
/// # Errors
/// What is accepted, in words.
pub fn rate(text: &str) -> Result<Rate, &'static str> {
    const FORM: &str = "a count and a time: 5/10s, 60/1m, 20/1h; 0 = no limit";
    const MOST: u32 = 1_000_000;
    let text = text.trim();
    if text == "0" {
        return Ok(Rate { count: 0, window: Duration::from_secs(1) });
    }
    let (count, window) = text.split_once('/').ok_or(FORM)?;
    let count = count.parse().ok().filter(|count| (1..=MOST).contains(count)).ok_or(FORM)?;
    let window = duration(window).ok().filter(|window| !window.is_zero()).ok_or(FORM)?;
    Ok(Rate { count, window })
}

/// A listener: `localhost:8484`, `127.0.0.1:8484`, `[::]:8484`.
///
/// # Errors
/// What is accepted, in words.
pub fn listen(text: &str) -> Result<Listen, &'static str> {
    const FORM: &str = "an address and a port: localhost:8484, 0.0.0.0:8484, [::]:8484";
    if let Some(port) = text.strip_prefix("localhost:") {
        return port.parse().map(Listen::Localhost).map_err(|_| FORM);
    }
    text.parse::<SocketAddr>().map(Listen::Address).map_err(|_| FORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_with_their_unit() {
        for (text, milliseconds) in
            [("500ms", 500), ("30s", 30_000), ("10m", 600_000), ("12h", 43_200_000), ("7d", 604_800_000)]
        {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(milliseconds), "{text}");
        }
        for text in ["", "30", "s", "1.5s", "-1s", "30 s", "30sec", "99999999999999999999d", "18446744073709551615d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_rates() {
        assert_eq!(rate("5/10s"), Ok(Rate { count: 5, window: Duration::from_secs(10) }));
        assert_eq!(rate(" 20/1h "), Ok(Rate { count: 20, window: Duration::from_secs(3600) }));
        assert_eq!(rate("0").unwrap().count, 0);
        for text in ["", "5", "5/", "/10s", "0/10s", "5/0s", "5/10", "-1/10s", "5 per 10s", "1000001/1s"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_listeners() {
        assert_eq!(listen("localhost:8484"), Ok(Listen::Localhost(8484)));
        assert_eq!(listen("0.0.0.0:80").unwrap().to_string(), "0.0.0.0:80");
        assert_eq!(listen("[::1]:80").unwrap().to_string(), "[::1]:80");
        for text in ["8484", "localhost", "example.com:80", "localhost:99999", ":80"] {
            assert!(listen(text).is_err(), "{text}");
        }
    }
}
