//! Reading a document that a server shows of itself.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// How long a document may be.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why there is no document.
pub(super) enum NoDocument {
    /// The server did not answer.
    NoAnswer(String),
    /// The server answered, with something else.
    Other(String),
}

impl fmt::Display for NoDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(message) | Self::Other(message) => f.write_str(message),
        }
    }
}

/// The document at `url`, which must be whole after this time.
pub(super) async fn fetch(url: &str, time: Duration) -> Result<Value, NoDocument> {
    let no_answer = |error: reqwest::Error| {
        // What went wrong stands at the end of the chain of causes.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        NoDocument::NoAnswer(format!("cannot read {url}: {cause}"))
    };
    let client = reqwest::Client::builder().no_proxy().timeout(time);
    let client = client.build().map_err(no_answer)?;
    let mut response = client.get(url).send().await.map_err(no_answer)?;
    if !response.status().is_success() {
        return Err(NoDocument::Other(format!("{url} answers {}", response.status())));
    }
    let mut text = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(no_answer)? {
        if text.len() + piece.len() > BYTES_MAX {
            return Err(NoDocument::Other(format!(
                "{url} sends more than {BYTES_MAX} bytes, too much for a document"
            )));
        }
        text.extend_from_slice(&piece);
    }
    serde_json::from_slice(&text).map_err(|error| NoDocument::Other(format!("{url} is not JSON: {error}")))
}
