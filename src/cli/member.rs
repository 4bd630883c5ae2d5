//! `traitwire member`: who belongs to the cluster, and changes of that.

mod calls;
mod wait;

use std::time::Duration;

use serde_json::{Value, json};
use traitwire::log::Excerpt;
use traitwire_kv::services::member::{
    AddMemberArgs, ChangeStep, MemberChange, MemberErr, MemberIdArgs, MemberInfo, MemberList, MemberRole,
    Members as _, MembersStub, ReplaceMemberArgs,
};
use traitwire_kv::services::raft::{Goal, NodeId};

use self::calls::Calls;
use self::wait::{Awaited, Wait};
use super::output::print_line;
use super::{Endpoints, Failure, seconds, server_url};

/// The exit codes for a change that was refused, and for one that may take effect without having been confirmed.
const REFUSED: u8 = 3;
const MAYBE: u8 = 5;

/// List the members of a cluster, and change them while it runs.
///
/// One change is made at a time. A new node gets the log first and votes once it has caught up, so that the cluster stays
/// available meanwhile. The nodes of --endpoints need not include the leader.
///
/// Exit codes: 0 done; 1 no answer; 2 wrong usage; 3 refused, and nothing has changed; 5 the change may or may not take
/// effect: see `member list`. With --json, a failure is an object `{"error":{"code","message"}}` on standard output, with what
/// belongs to the code, such as `missing`, the members that cannot be reached.
#[derive(clap::Subcommand)]
pub(super) enum Member {
    /// List the members: what they are, how many entries they lack, and whether the leader reaches them.
    ///
    /// Exit codes: 0 done; 1 no answer, or no leader is known; 2 wrong usage. With --json, the output is one object, and a failure
    /// is `{"error":{"code","message"}}`.
    #[command(after_help = "Examples:\n  traitwire member list --endpoints http://10.0.0.1:7101")]
    List {
        #[command(flatten)]
        options: Options,
    },
    /// Add the node at a URL.
    ///
    /// Start the node first, with an empty folder: `traitwire serve --join URL`, where URL is that of any member. It becomes a
    /// learner, gets the log and then votes; the command waits for that. If it is interrupted, the change goes on, and the same
    /// command waits for it again. To cancel it, remove the node.
    ///
    /// Exit codes: 0 the node votes, or is a learner with --learner; 1 no answer, or not done in time; 2 wrong usage; 3 refused,
    /// and nothing has changed; 5 the change may or may not take effect.
    #[command(
        after_help = "Examples:\n  traitwire member add http://10.0.0.4:7101\n  traitwire member add http://10.0.0.4:7101 --learner"
    )]
    Add {
        /// The URL at which the other nodes reach the new one.
        #[arg(value_parser = server_url)]
        url: String,
        /// Leave it a learner, which gets the log and does not vote; see `member promote`.
        #[arg(long)]
        learner: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Make a learner a voter once it has caught up, and wait for that.
    ///
    /// Exit codes: 0 the node votes; 1 no answer, or not done in time; 2 wrong usage; 3 refused, and nothing has changed; 5 the
    /// change may or may not take effect.
    #[command(after_help = "Examples:\n  traitwire member promote 4")]
    Promote {
        /// The learner.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        id: NodeId,
        #[command(flatten)]
        options: Options,
    },
    /// Remove a member, alive or dead.
    ///
    /// The change is refused if less than a majority of the voters that remain can be reached. Stop the removed node afterwards,
    /// and delete its folder. Its id may be used again by a node with an empty folder.
    ///
    /// Exit codes: 0 the member has left; 1 no answer; 2 wrong usage; 3 refused, and nothing has changed; 5 the change may or may
    /// not take effect.
    #[command(after_help = "Examples:\n  traitwire member remove 2")]
    Remove {
        /// The member.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        id: NodeId,
        #[command(flatten)]
        options: Options,
    },
    /// Replace a voter, alive or dead, by the node at a URL.
    ///
    /// As `member add` and `member remove`, but in one step: the new node votes from the moment at which the old one does no more.
    ///
    /// Exit codes: 0 the new node votes and the old one has left; 1 no answer, or not done in time; 2 wrong usage; 3 refused, and
    /// nothing has changed; 5 the change may or may not take effect.
    #[command(after_help = "Examples:\n  traitwire member replace 2 http://10.0.0.4:7101")]
    Replace {
        /// The member that leaves.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        id: NodeId,
        /// The URL at which the other nodes reach the new one.
        #[arg(value_parser = server_url)]
        url: String,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    endpoints: Endpoints,
    /// How long to wait for the change to be complete, such as 5, 0.5 or 500ms. It goes on afterwards.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Member {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        match self {
            Self::List { options } => options.list().await,
            Self::Add { url, learner, options } => {
                let args = AddMemberArgs { url, learner };
                let add = |stub: MembersStub| {
                    let args = args.clone();
                    async move { stub.add(args).await }
                };
                let awaited = if learner { Awaited::Member } else { Awaited::Voter };
                options.change(add, awaited).await
            }
            Self::Promote { id, options } => {
                let promote = |stub: MembersStub| async move { stub.promote(MemberIdArgs { id }).await };
                options.change(promote, Awaited::Voter).await
            }
            Self::Remove { id, options } => options.remove(id).await,
            Self::Replace { id, url, options } => {
                let args = ReplaceMemberArgs { id, url };
                let replace = |stub: MembersStub| {
                    let args = args.clone();
                    async move { stub.replace(args).await }
                };
                options.change(replace, Awaited::Replaced(id)).await
            }
        }
    }
}

impl Options {
    async fn list(&self) -> Result<u8, Failure> {
        let list = self.calls().list_with_leader().await.map_err(failure)?;
        if self.json {
            print_line(serde_json::to_string(&list).map_err(Failure::new)?)?;
        } else {
            print_list(&list)?;
        }
        match list.leader {
            Some(_) => Ok(0),
            None => {
                Err(Failure::new("no leader is known: a majority of the voters may be down or out of reach")
                    .with("code", "no_leader"))
            }
        }
    }

    /// Makes a change that is complete once what is awaited has come.
    async fn change<F>(&self, change: impl Fn(MembersStub) -> F, awaited: Awaited) -> Result<u8, Failure>
    where
        F: Future<Output = Result<traitwire_kv::services::member::MemberReply, MemberErr>>,
    {
        let mut calls = self.calls();
        let reply = calls.call(change).await.map_err(failure)?;
        let member = Wait::new(reply.id, awaited, self.timeout).run(&mut calls).await?;
        self.report(&member, reply.index)
    }

    async fn remove(&self, id: NodeId) -> Result<u8, Failure> {
        let mut calls = self.calls();
        let removed = calls.call(|stub| async move { stub.remove(MemberIdArgs { id }).await }).await;
        let index = match removed {
            Ok(reply) => reply.index,
            // The answer to an earlier copy of the call was lost.
            Err(MemberErr::NoMember { .. }) if calls.may_have_acted() => 0,
            Err(error) => return Err(failure(error)),
        };
        if self.json {
            print_line(json!({ "id": id, "removed": true, "index": index }))?;
        } else {
            print_line(format_args!("node {id} has left the cluster; stop it, and delete its folder"))?;
        }
        Ok(0)
    }

    fn report(&self, member: &MemberInfo, index: u64) -> Result<u8, Failure> {
        if self.json {
            let mut line = serde_json::to_value(member).map_err(Failure::new)?;
            line["index"] = json!(index);
            print_line(line)?;
        } else {
            let what = match member.role {
                MemberRole::Leader | MemberRole::Voter => "votes",
                MemberRole::Learner | MemberRole::Outgoing => "is a learner",
            };
            print_line(format_args!("node {} {what}", member.id))?;
        }
        Ok(0)
    }

    fn calls(&self) -> Calls {
        Calls::new(self.endpoints.clients(None).map(|(_, client)| client), self.timeout)
    }
}

fn print_list(list: &MemberList) -> Result<(), Failure> {
    let cluster_id = list.cluster_id.map_or_else(|| "without an id".to_owned(), |id| id.to_string());
    print_line(format_args!("cluster {} {cluster_id}", Excerpt(&list.cluster)))?;
    print_line(format_args!(
        "{:<6}{:<10}{:<12}{:>10}  {:<11}{:<34}url",
        "id", "role", "goal", "behind", "reachable", "incarnation"
    ))?;
    for member in &list.members {
        let goal = match member.goal {
            None => "-".to_owned(),
            Some(Goal::Learn) => "learn".to_owned(),
            Some(Goal::Vote) => "vote".to_owned(),
            Some(Goal::Replace(id)) => format!("replace {id}"),
        };
        let behind = member.behind.map_or_else(|| "-".to_owned(), |behind| behind.to_string());
        let reachable = member.reachable.map_or("-", |reachable| if reachable { "yes" } else { "no" });
        let incarnation = member.incarnation.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let url = member.url.as_deref().unwrap_or("-");
        print_line(format_args!(
            "{:<6}{:<10}{goal:<12}{behind:>10}  {reachable:<11}{incarnation:<34}{}",
            member.id,
            role(member.role),
            Excerpt(url)
        ))?;
    }
    if let Some(change) = list.in_progress {
        print_line(describe(change))?;
    }
    Ok(())
}

fn role(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Leader => "leader",
        MemberRole::Voter => "voter",
        MemberRole::Learner => "learner",
        MemberRole::Outgoing => "outgoing",
    }
}

fn describe(change: MemberChange) -> String {
    let about = change.id.map_or_else(String::new, |id| format!(" of node {id}"));
    let how_far = match change.step {
        ChangeStep::Committing => "it is not committed yet",
        ChangeStep::CatchingUp => "the node catches up",
        ChangeStep::Joint => "the voters change",
    };
    format!("a change{about} is in progress: {how_far}")
}

/// The failure of a call, for people and for programs.
fn failure(error: MemberErr) -> Failure {
    let message = error.to_string();
    let exit_code = match &error {
        MemberErr::NoAnswer { submitted: true, .. } => MAYBE,
        MemberErr::NoAnswer { .. }
        | MemberErr::NotLeader { .. }
        | MemberErr::NotReady
        | MemberErr::Unimplemented(_) => 1,
        MemberErr::InvalidUrl(_) => super::failure::USAGE,
        MemberErr::InProgress(_)
        | MemberErr::NoMember { .. }
        | MemberErr::Exists { .. }
        | MemberErr::LastVoter { .. }
        | MemberErr::NoMajority { .. }
        | MemberErr::DiskFull
        | MemberErr::Unreachable { .. }
        | MemberErr::Unsuitable { .. } => REFUSED,
    };
    let executed = if error.may_be_submitted() { "unknown" } else { "no" };
    let failure = Failure::with_code(exit_code, message).with("executed", executed);
    let (code, fields) = match serde_json::to_value(&error) {
        Ok(Value::String(code)) => (code, Value::Null),
        Ok(Value::Object(object)) => object.into_iter().next().unwrap_or_default(),
        // The server is not one of a cluster.
        Ok(_) | Err(_) => ("unimplemented".to_owned(), Value::Null),
    };
    let fields = fields.as_object().cloned().unwrap_or_default();
    // The message says it already, in other words.
    let fields = fields.into_iter().filter(|(name, _)| name != "message");
    fields.fold(failure.with("code", code), |failure, (name, value)| failure.with(&name, value))
}
