//! What the commands of a story do to its cluster.

use super::super::{DiskSpace, Input};
use super::cluster::Cluster;
use crate::services::raft::{Command, Index, NodeId};

impl Cluster {
    /// Does what a line of commands says.
    pub(super) fn commands(&mut self, line: &str) {
        line.split("; ").for_each(|command| self.command(command));
    }

    fn command(&mut self, command: &str) {
        let words: Vec<_> = command.split(' ').collect();
        match words[..] {
            ["timeout", id] => self.time_out(node(id)),
            ["elect", id] => {
                self.in_short(|cluster| {
                    cluster.time_out(node(id));
                    cluster.deliver_all();
                });
            }
            ["run", time] => {
                let us = 1_000 * milliseconds(time);
                self.in_short(|cluster| cluster.run_until(cluster.now.after_us(us)));
            }
            ["wait", time] => self.now = self.now.after_us(1_000 * milliseconds(time)),
            ["settle"] => self.in_short(Self::deliver_all),
            ["deliver", "all"] => self.deliver_all(),
            ["deliver", from, to] => self.deliver((node(from), node(to))),
            ["drop", from, to] => self.links.entry((node(from), node(to))).or_default().clear(),
            ["fail", from, to] => self.fail((node(from), node(to))),
            ["copy", from, to] => {
                let link = (node(from), node(to));
                let letters = self.links.entry(link).or_default().iter().cloned().collect();
                self.copies.insert(link, letters);
            }
            ["replay", from, to] => {
                let link = (node(from), node(to));
                let letters = self.copies[&link].clone();
                letters.into_iter().for_each(|letter| self.arrive(link, letter));
            }
            ["cut", id] => {
                let others: Vec<_> = self.nodes.keys().copied().collect();
                others.into_iter().for_each(|other| self.cut(node(id), other));
            }
            ["cut", one, other] => self.cut(node(one), node(other)),
            ["heal"] => self.cut.clear(),
            ["autosync", on] => self.autosync = on == "on",
            ["sync", id] => self.sync(node(id), usize::MAX),
            ["sync", id, steps] => self.sync(node(id), steps.parse().unwrap()),
            ["crash", id] => self.crash(node(id)),
            ["restart", id] => self.restart(node(id)),
            ["wipe", id] => self.wipe(node(id)),
            ["log", id, ..] => self.log(node(id), &words[2..]),
            ["lose", id, from] => self.lose(node(id), setting(from).1 as Index),
            ["status"] => self.status(),
            [what, id, ..] => self.step(node(id), |cluster| cluster.input(what, node(id), &words[2..])),
            _ => panic!("there is no command {command}"),
        }
    }

    /// The inputs that commands name.
    fn input(&mut self, what: &str, id: NodeId, words: &[&str]) -> Input {
        match what {
            "propose" => Input::Propose(words.iter().map(|word| Command::new(word).unwrap()).collect()),
            "read" => {
                self.last_read += 1;
                Input::Read(self.last_read)
            }
            "full" => Input::Disk(DiskSpace::Full),
            "free" => Input::Disk(DiskSpace::Free),
            "transfer" => Input::Transfer(words.first().map(|to| node(to.strip_prefix("to=").unwrap()))),
            "snapshot" => {
                let machine = self.machine(id);
                let snapshot =
                    machine.core.as_ref().unwrap().snapshot_meta(setting(words[0]).1 as Index).unwrap();
                machine.disk.written.snapshot = Some(snapshot.clone());
                Input::SnapshotSaved(snapshot)
            }
            "found" => {
                let count = setting(words[0]).1 as NodeId;
                Input::Found(self.founding(id, count))
            }
            change => {
                self.last_token += 1;
                let change = self.change(change, words);
                Input::Change { token: self.last_token, change }
            }
        }
    }
}

pub(super) fn node(word: &str) -> NodeId {
    word.strip_prefix('n').unwrap_or_else(|| panic!("{word} is no node")).parse().unwrap()
}

fn milliseconds(word: &str) -> u64 {
    word.strip_suffix("ms").unwrap_or_else(|| panic!("{word} is no time")).parse().unwrap()
}

pub(super) fn setting(word: &str) -> (&str, usize) {
    let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("{word} is no setting"));
    (name, value.parse().unwrap())
}
