//! Waits until a change of the members is complete, and shows how far it has come.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep};
use traitwire_kv::services::member::{MemberInfo, MemberList, MemberRole};
use traitwire_kv::services::raft::NodeId;

use super::calls::Calls;
use super::failure;
use crate::cli::Failure;
use crate::cli::output::note;

/// How often to look, and how often to say so where standard error is not a terminal.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const SAY_EVERY: Duration = Duration::from_secs(2);

/// What completes a change.
#[derive(Clone, Copy)]
pub(super) enum Awaited {
    /// The node is a member.
    Member,
    /// The node votes.
    Voter,
    /// The node votes, and this one has left.
    Replaced(NodeId),
}

/// The wait for a change about a node.
pub(super) struct Wait {
    id: NodeId,
    awaited: Awaited,
    time: Duration,
    progress: Progress,
}

impl Wait {
    pub(super) fn new(id: NodeId, awaited: Awaited, time: Duration) -> Self {
        Self { id, awaited, time, progress: Progress::new() }
    }

    /// Waits, and returns what the member is then.
    pub(super) async fn run(mut self, calls: &mut Calls) -> Result<MemberInfo, Failure> {
        let began = Instant::now();
        let mut was_seen = false;
        loop {
            let list = calls.list().await;
            if let Ok(list) = &list {
                let member = list.members.iter().find(|member| member.id == self.id);
                match member {
                    Some(member) if self.is_complete(list, member) => {
                        self.progress.finish();
                        return Ok(member.clone());
                    }
                    Some(member) => self.progress.show(self.id, list, member),
                    None if was_seen && list.leader == Some(list.node) => {
                        self.progress.finish();
                        let message = format!("node {} was removed before the change was complete", self.id);
                        return Err(Failure::new(message).with("code", "removed"));
                    }
                    None => {}
                }
                was_seen |= member.is_some();
            }
            if began.elapsed() >= self.time {
                self.progress.finish();
                return Err(match list {
                    Err(error) => failure(error),
                    Ok(_) => Failure::new(format!(
                        "the change of node {} is not complete after {:?}; it goes on: see `traitwire member list`, or remove \
                         the node to cancel it",
                        self.id, self.time
                    ))
                    .with("code", "incomplete"),
                });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn is_complete(&self, list: &MemberList, member: &MemberInfo) -> bool {
        let votes = matches!(member.role, MemberRole::Leader | MemberRole::Voter) && !list.joint;
        match self.awaited {
            Awaited::Member => true,
            Awaited::Voter => votes,
            Awaited::Replaced(old) => votes && list.members.iter().all(|member| member.id != old),
        }
    }
}

/// A bar on a terminal, lines elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    said: Option<(Instant, String)>,
}

impl Progress {
    fn new() -> Self {
        Self { bar: None, said: None }
    }

    fn show(&mut self, id: NodeId, list: &MemberList, member: &MemberInfo) {
        let behind = member.behind.unwrap_or(0);
        let text = if list.joint {
            "the voters change".to_owned()
        } else if member.reachable == Some(false) {
            format!("node {id} does not answer the leader")
        } else {
            format!("node {id} catches up: {behind} entries behind")
        };
        if io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{spinner} [{elapsed}] {bar:30} {msg}");
            let bar = self.bar.get_or_insert_with(|| {
                let bar = ProgressBar::new(behind.max(1));
                // A template that cannot be read leaves the bar as it is.
                if let Ok(style) = style { bar.with_style(style) } else { bar }
            });
            let length = bar.length().unwrap_or(1).max(behind);
            bar.set_length(length);
            bar.set_position(length - behind);
            bar.set_message(text);
            bar.tick();
            return;
        }
        let is_due = self.said.as_ref().is_none_or(|(at, said)| at.elapsed() >= SAY_EVERY && *said != text);
        if is_due {
            note(&text);
            self.said = Some((Instant::now(), text));
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
