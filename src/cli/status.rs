//! `traitwire status`.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use traitwire::log::Excerpt;
use traitwire::{Code, RpcClient, RpcError};
use traitwire_kv::services::kv::{GetArgs, Kv, KvStub};
use traitwire_kv::services::member::{MemberInfo, Members as _, MembersStub};
use traitwire_kv::services::rsm::{Agreement, Rsm, RsmStub, StateCheck, StatusReply};

use super::output::print_line;
use super::{Endpoints, Failure, seconds};

/// A key to read, whether it exists or not, from a server that has no status.
const ANY_KEY: &str = "status";

/// Show what the nodes are and how far they have come.
///
/// The members of the cluster are shown that the nodes of --endpoints know. A server that keeps its keys in memory, and so is part of
/// no cluster, is shown with the role `memory`. A node that needs an operator says why behind its URL; see also `member list`.
///
/// Exit codes: 0 every node answers, and a leader is known; 1 a node does not answer, or none knows a leader; 2 wrong usage.
/// With --json, each node is a line: an object of its status, or `{"url","error":{"code","message"}}`. If none knows a leader,
/// a last line is `{"error":{"code":"no_leader","message"}}`.
#[derive(clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    endpoints: Endpoints,
    /// How long to wait for each node, such as 5, 0.5 or 500ms.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    timeout: Duration,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What a server says of itself.
enum Answer {
    Node(StatusReply),
    Memory,
}

/// What servers say, with their URLs.
type Answers = Vec<(String, Result<Answer, RpcError>)>;

impl Status {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let given: Vec<_> = self.endpoints.clients(None).collect();
        let mut answers = self.ask_all(given.clone()).await?;
        let others = self.other_members(&given, &answers).await;
        answers.extend(self.ask_all(others).await?);
        self.print(&answers)?;
        let is_there = answers.iter().all(|(_, answer)| answer.is_ok());
        let knows_leader = |answer: &Answer| match answer {
            Answer::Node(status) => status.leader.is_some(),
            Answer::Memory => true,
        };
        if !answers.iter().any(|(_, answer)| answer.as_ref().is_ok_and(knows_leader)) {
            return Err(Failure::new("no node knows a leader").with("code", "no_leader"));
        }
        Ok(u8::from(!is_there))
    }

    /// Asks servers what they are, all at the same time.
    async fn ask_all(&self, servers: Vec<(String, RpcClient)>) -> Result<Answers, Failure> {
        let mut asked = Vec::new();
        for (url, client) in servers {
            let time = self.timeout;
            asked.push((url, tokio::spawn(async move { timeout(time, ask(client)).await })));
        }
        let mut answers = Vec::new();
        for (url, asked) in asked {
            let late = |_| RpcError::deadline_exceeded(format!("no answer within {:?}", self.timeout));
            let answer = asked.await.map_err(Failure::new)?.map_err(late).flatten();
            answers.push((url, answer));
        }
        Ok(answers)
    }

    /// The members of the cluster that are not among the servers that were asked.
    async fn other_members(
        &self,
        given: &[(String, RpcClient)],
        answers: &Answers,
    ) -> Vec<(String, RpcClient)> {
        let id = |answer: &Result<Answer, RpcError>| match answer {
            Ok(Answer::Node(status)) => Some(status.id),
            Ok(Answer::Memory) | Err(_) => None,
        };
        let ids: Vec<_> = answers.iter().filter_map(|(_, answer)| id(answer)).collect();
        let nodes = given.iter().zip(answers).filter(|(_, (_, answer))| id(answer).is_some());
        for ((_, client), _) in nodes {
            let list = timeout(self.timeout, MembersStub::new(client.clone()).list()).await;
            let Ok(Ok(list)) = list else { continue };
            let is_other = |member: &MemberInfo| {
                let is_given = given.iter().any(|(url, _)| member.url.as_ref() == Some(url));
                !ids.contains(&member.id) && !is_given
            };
            let others = list.members.into_iter().filter(is_other).filter_map(|member| member.url);
            return others.map(|url| (url.clone(), RpcClient::builder(url).build())).collect();
        }
        Vec::new()
    }

    fn print(&self, answers: &Answers) -> Result<(), Failure> {
        let last_index = |answer: &Result<Answer, RpcError>| match answer {
            Ok(Answer::Node(status)) => Some(status.last_log_index),
            Ok(Answer::Memory) | Err(_) => None,
        };
        let newest = answers.iter().filter_map(|(_, answer)| last_index(answer)).max();
        if !self.json {
            print_line(format_args!(
                "{:<4}{:<12}{:>6}{:>8}{:>10}{:>10}{:>6}  url",
                "id", "role", "term", "leader", "commit", "applied", "lag"
            ))?;
        }
        for (url, answer) in answers {
            match answer {
                Ok(Answer::Node(status)) if self.json => {
                    let mut line = serde_json::to_value(status).map_err(Failure::new)?;
                    line["url"] = json!(url);
                    line["lag"] = json!(lag(status, newest));
                    print_line(line)?;
                }
                Ok(Answer::Node(status)) => {
                    print_line(format_args!("{}{url}{}", row(status, newest), warning(status)))?;
                }
                Ok(Answer::Memory) if self.json => print_line(json!({ "url": url, "role": "memory" }))?,
                Ok(Answer::Memory) => print_line(format_args!("{:<4}{:<52}  {url}", "-", "memory"))?,
                Err(error) if self.json => {
                    let error = json!({ "code": error.code().as_str(), "message": error.message() });
                    print_line(json!({ "url": url, "error": error }))?;
                }
                Err(error) => print_line(format_args!("{:<56}  {url}: {error}", "-"))?,
            }
        }
        Ok(())
    }
}

async fn ask(client: RpcClient) -> Result<Answer, RpcError> {
    match RsmStub::new(client.clone()).status().await {
        Ok(status) => Ok(Answer::Node(status)),
        Err(error) if error.code() == Code::Unimplemented => {
            KvStub::new(client).get(GetArgs { key: ANY_KEY.to_owned() }).await?;
            Ok(Answer::Memory)
        }
        Err(error) => Err(error),
    }
}

/// How many entries a node has yet to apply of what any node has.
fn lag(status: &StatusReply, newest: Option<u64>) -> u64 {
    newest.unwrap_or(0).saturating_sub(status.applied_index)
}

/// What an operator must know of a node's state.
fn warning(status: &StatusReply) -> String {
    let problem =
        status.problem.as_ref().map_or_else(String::new, |problem| format!("  ({})", Excerpt(problem)));
    let states = match status.state_check {
        Some(StateCheck { index, agreement: Agreement::Disputed }) => {
            format!("  (the states of the nodes differ at index {index}, and no majority agrees)")
        }
        Some(StateCheck { index, agreement: Agreement::Differs }) => {
            format!("  (its state at index {index} is not that of a majority)")
        }
        Some(StateCheck { agreement: Agreement::Agreed, .. }) | None => String::new(),
    };
    states + &problem
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
