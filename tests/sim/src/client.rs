//! Clients: who ask nodes to put and get, believe who leads, and remember what they were told.

use std::collections::BTreeMap;

use traitwire_checker::{CallId, History, Input, Outcome};
use traitwire_kv::services::raft::NodeId;

use crate::machine::PutResult;
use crate::plan::{Load, pick};

/// Names what a client wants, however often it has to ask for it.
pub(crate) type OperationId = u64;

/// What no client has asked for.
pub(crate) const NOBODY: OperationId = 0;

/// What happens to clients.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClientEvent {
    /// A client wants something.
    Begins(usize),
    /// It asks for it, perhaps not for the first time.
    Asks(OperationId),
    /// It is told.
    Told(OperationId, Told),
    /// It does not wait any longer.
    GivesUp(OperationId),
}

/// What a client is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    /// What a put did.
    Put(PutResult),
    /// What a key holds.
    Got(Option<(u64, u64)>),
    /// Nothing was done and nothing will be. Perhaps another node can do it.
    NotHere(Option<NodeId>),
}

/// What a client wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) client: usize,
    pub(crate) key: u64,
    /// The version that a put names; a get has none.
    pub(crate) put_at: Option<u64>,
    /// The value of a put.
    pub(crate) value: u64,
    call: CallId,
}

/// All clients.
pub(crate) struct Clients {
    load: Load,
    nodes: u64,
    clients: Vec<Client>,
    operations: BTreeMap<OperationId, Operation>,
    history: History,
    /// Moments of the history: each is later than the one before.
    moment: u64,
    named: u64,
    /// How many operations have ended well.
    pub(crate) done: u64,
}

struct Client {
    /// Who leads, as far as the client knows.
    leader: NodeId,
    /// The versions of the keys, as far as the client knows.
    versions: Vec<u64>,
    done: u64,
}

impl Clients {
    pub(crate) fn new(load: Load, nodes: u64) -> Self {
        let client = |_| Client { leader: 1, versions: vec![0; load.keys as usize], done: 0 };
        Self {
            load,
            nodes,
            clients: (0..load.clients).map(client).collect(),
            operations: BTreeMap::new(),
            history: History::new(),
            moment: 0,
            named: 0,
            done: 0,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// How many operations of a client have ended well.
    pub(crate) fn done_by(&self, client: usize) -> u64 {
        self.clients[client].done
    }

    pub(crate) fn patience_us(&self) -> u64 {
        self.load.patience_us
    }

    pub(crate) fn think_us(&self, random: &mut fastrand::Rng) -> u64 {
        self.load.think_us.draw(random)
    }

    /// A name that nothing has yet.
    pub(crate) fn name(&mut self) -> u64 {
        self.named += 1;
        self.named
    }

    fn moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// A client begins to want something.
    pub(crate) fn begin(&mut self, client: usize, random: &mut fastrand::Rng) -> OperationId {
        let key = random.u64(0..self.load.keys);
        let known = self.clients[client].versions[key as usize];
        let is_get = random.u32(0..1_000) < self.load.reads;
        let put_at = (!is_get).then(|| if random.u8(0..10) == 0 { random.u64(0..known + 2) } else { known });
        let value = self.name();
        let input = match put_at {
            Some(version) => Input::Put { value: value.to_string(), version },
            None => Input::Get,
        };
        let moment = self.moment();
        let call = self.history.invoke(client as u64, &key.to_string(), input, moment);
        self.operations.insert(value, Operation { client, key, put_at, value, call });
        value
    }

    /// What is asked for, if it is still wanted, and of whom.
    pub(crate) fn ask(&self, id: OperationId) -> Option<(Operation, NodeId)> {
        let operation = self.operations.get(&id)?;
        Some((*operation, self.clients[operation.client].leader))
    }

    pub(crate) fn operation(&self, id: OperationId) -> Option<&Operation> {
        self.operations.get(&id)
    }

    /// A client is told. Says whether that was what it wanted, or nothing if it waits no longer.
    pub(crate) fn tell(&mut self, id: OperationId, told: Told, random: &mut fastrand::Rng) -> Option<bool> {
        let operation = *self.operations.get(&id)?;
        let moment = self.moment();
        let client = &mut self.clients[operation.client];
        let version = &mut client.versions[operation.key as usize];
        let outcome = match told {
            Told::NotHere(leader) => {
                client.leader = leader.unwrap_or_else(|| random.u64(1..=self.nodes));
                return Some(false);
            }
            Told::Put(PutResult::Ok) => {
                *version = operation.put_at.map_or(*version, |at| at + 1);
                Outcome::Ok
            }
            Told::Put(PutResult::NoKey) => {
                *version = 0;
                Outcome::NoKey
            }
            Told::Put(PutResult::Version) => {
                *version += pick(random, &[0, 1, 1, 2, 5]);
                Outcome::Version
            }
            Told::Got(None) => {
                *version = 0;
                Outcome::NoKey
            }
            Told::Got(Some((value, found))) => {
                *version = found;
                Outcome::Value { value: value.to_string(), version: found }
            }
        };
        client.done += 1;
        self.done += 1;
        self.history.complete(operation.call, outcome, moment);
        self.operations.remove(&id);
        Some(true)
    }

    /// A client does not wait any longer: what it wanted has happened, will happen or never does. Gives the client, if it
    /// was waiting.
    pub(crate) fn give_up(&mut self, id: OperationId, random: &mut fastrand::Rng) -> Option<usize> {
        let operation = self.operations.remove(&id)?;
        self.clients[operation.client].leader = random.u64(1..=self.nodes);
        Some(operation.client)
    }
}
