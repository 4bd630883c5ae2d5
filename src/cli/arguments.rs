//! Arguments that several commands take, and how their values are read.

use std::time::Duration;

use clap::Args;
use tokio::time::Instant;
use traitwire::RpcClient;
use traitwire::log::Excerpt;
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::store::KEY_BYTES_MAX;
use traitwire_kv::url::{InvalidUrl, ServerUrl};

/// The time of a call that is not to be bounded.
const UNBOUNDED: Duration = Duration::from_secs(u64::MAX / 1_000);

/// Where the servers are.
#[derive(Args, Clone)]
pub(super) struct Endpoints {
    /// The URLs of the nodes, or of some of them, separated by commas.
    #[arg(
        long = "endpoints",
        value_name = "URL,…",
        value_delimiter = ',',
        env = "TRAITWIRE_ENDPOINTS",
        default_value = "http://127.0.0.1:7101",
        value_parser = server_url
    )]
    urls: Vec<String>,
}

impl Endpoints {
    /// A client of each node, whose calls end at the deadline.
    pub(super) fn clients(&self, deadline: Option<Instant>) -> impl Iterator<Item = (String, RpcClient)> {
        // Only this process's calls share the id, so that a proxy can tell commands apart.
        let id = std::process::id() as usize;
        self.urls.iter().map(move |url| {
            let left =
                deadline.map_or(UNBOUNDED, |deadline| deadline.saturating_duration_since(Instant::now()));
            (url.clone(), RpcClient::builder(url).client_id(id).timeout(left).build())
        })
    }

    /// A client of the store that these nodes serve together.
    pub(super) fn kv(&self) -> ClusterKvClient {
        ClusterKvClient::new(self.urls.iter().cloned(), std::process::id() as usize)
    }
}

/// The URL of a server, as it is written.
pub(super) fn server_url(text: &str) -> Result<String, InvalidUrl> {
    text.parse::<ServerUrl>().map(|url| url.to_string())
}

/// A key of the store.
pub(super) fn key(text: &str) -> Result<String, String> {
    match text.len() {
        1..=KEY_BYTES_MAX => Ok(text.to_owned()),
        bytes => Err(format!("a key has 1 to {KEY_BYTES_MAX} bytes, not {bytes}")),
    }
}

/// A time, in seconds where it names no unit.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let not_valid = || {
        format!(
            "`{}` is not a time: write seconds, such as 5 or 0.5, or a unit, as in 500ms or 2m",
            Excerpt(text)
        )
    };
    let (number, unit_s) = if let Some(number) = text.strip_suffix("ms") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix('m') {
        (number, 60.0)
    } else {
        (text.strip_suffix('s').unwrap_or(text), 1.0)
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(not_valid());
    }
    let seconds = number.parse::<f64>().map_err(|_| not_valid())? * unit_s;
    match Duration::try_from_secs_f64(seconds) {
        Ok(Duration::ZERO) => Err(format!("`{}` leaves no time at all", Excerpt(text))),
        Ok(time) => Ok(time),
        // So long is without a bound.
        Err(_) if seconds >= 0.0 => Ok(Duration::MAX),
        Err(_) => Err(not_valid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let ms = Duration::from_millis;
        for (text, time) in
            [("5", ms(5_000)), ("0.5", ms(500)), ("7s", ms(7_000)), ("20ms", ms(20)), ("2m", ms(120_000))]
        {
            assert_eq!(seconds(text), Ok(time), "{text}");
        }
        assert_eq!(seconds(&"9".repeat(400)), Ok(Duration::MAX));
        for text in ["", "0", "0ms", "-1", "+1", "1h", "s", "ms", "1e3", "inf", "NaN", "1.2.3", " 1"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
