//! `traitwire status`.

use std::time::Duration;

use serde_json::json;
use traitwire_kv::services::rsm::{Rsm, RsmStub, StatusReply};

use super::output::print_line;
use super::{Endpoints, Failure};

/// How long a node may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// Exit code 1 when a node does not answer, or none leads.
#[derive(clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    endpoints: Endpoints,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let mut statuses = Vec::new();
        for (url, client) in self.endpoints.clients() {
            let stub = RsmStub::new(client);
            let asked = tokio::spawn(async move { tokio::time::timeout(ANSWER_TIME, stub.status()).await });
            statuses.push((url, asked));
        }
        let mut answers = Vec::new();
        for (url, asked) in statuses {
            let answer = match asked.await.map_err(Failure::new)? {
                Ok(answer) => answer.map_err(|error| error.to_string()),
                Err(_) => Err(format!("no answer within {ANSWER_TIME:?}")),
            };
            answers.push((url, answer));
        }
        let newest =
            answers.iter().filter_map(|(_, answer)| Some(answer.as_ref().ok()?.last_log_index)).max();
        if !self.json {
            print_line(format_args!(
                "{:<4}{:<12}{:>6}{:>8}{:>10}{:>10}{:>6}  url",
                "id", "role", "term", "leader", "commit", "applied", "lag"
            ))?;
        }
        for (url, answer) in &answers {
            match answer {
                Ok(status) if self.json => {
                    let mut line = serde_json::to_value(status).map_err(Failure::new)?;
                    line["url"] = json!(url);
                    line["lag"] = json!(lag(status, newest));
                    print_line(line)?;
                }
                Ok(status) => print_line(format_args!("{}{url}", row(status, newest)))?,
                Err(error) if self.json => print_line(json!({ "url": url, "error": error }))?,
                Err(error) => print_line(format_args!("{:<56}  {url}: {error}", "-"))?,
            }
        }
        let is_there = answers.iter().all(|(_, answer)| answer.is_ok());
        let has_leader =
            answers.iter().any(|(_, answer)| answer.as_ref().is_ok_and(|it| it.leader.is_some()));
        Ok(u8::from(!is_there || !has_leader))
    }
}

/// How many entries a node has yet to apply of what any node has.
fn lag(status: &StatusReply, newest: Option<u64>) -> u64 {
    newest.unwrap_or(0).saturating_sub(status.applied_index)
}

fn row(status: &StatusReply, newest: Option<u64>) -> String {
    let role = format!("{:?}", status.role).to_lowercase();
    let leader = status.leader.map_or("-".to_owned(), |leader| leader.to_string());
    format!(
        "{:<4}{role:<12}{:>6}{leader:>8}{:>10}{:>10}{:>6}  ",
        status.id,
        status.term,
        status.commit_index,
        status.applied_index,
        lag(status, newest)
    )
}
