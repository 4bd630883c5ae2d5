//! The network between whole nodes and their clients: RPC calls that arrive late, twice or not at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use traitwire::{Bytes, Call, InProcess, Retry, RpcClient, RpcError, RpcResult, Transport};
use traitwire_kv::services::raft::NodeId;

use super::book::Book;
use super::plan::StackPlan;
use crate::network::{Fate, Letter, Network, Profile};

/// Who is at an end of a link: a node by its id, or a client by a number above all of those.
pub(super) type End = u64;

/// The network.
pub(super) struct Net {
    nodes: u64,
    book: Arc<Book>,
    began: Instant,
    state: Mutex<State>,
}

struct State {
    /// The links between nodes.
    between: Network,
    /// The links between clients and nodes.
    in_front: Network,
    random: fastrand::Rng,
    /// The nodes that are up.
    servers: BTreeMap<NodeId, Served>,
    calls: u64,
}

impl State {
    /// The links of one kind, and the lots that are drawn for them.
    fn network(&mut self, is_between: bool) -> (&mut Network, &mut fastrand::Rng) {
        (if is_between { &mut self.between } else { &mut self.in_front }, &mut self.random)
    }
}

/// A node that is up.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) server: Arc<InProcess>,
    /// Which of its lives this is.
    pub(super) life: u64,
    /// Tells everybody when that life ends.
    pub(super) gone: Arc<Notify>,
}

impl Net {
    pub(super) fn new(plan: &StackPlan, book: Arc<Book>, random: fastrand::Rng) -> Arc<Self> {
        let (nodes, profiles) = (plan.nodes, [plan.between, plan.in_front]);
        let ends = nodes + plan.all_clients();
        let [between, in_front] = profiles.map(|profile| Network::new(ends, profile));
        let state = State { between, in_front, random, servers: BTreeMap::new(), calls: 0 };
        Arc::new(Self { nodes, book, began: Instant::now(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while it is held")
    }

    /// Whether both ends are nodes.
    fn is_between(&self, one: End, other: End) -> bool {
        one.max(other) <= self.nodes
    }

    /// A client that reaches a node from this end. If a node is there, it is in this life of it.
    pub(super) fn client(self: &Arc<Self>, from: End, life: Option<u64>, to: NodeId) -> RpcClient {
        let wire = Wire { net: self.clone(), from, life, to };
        let id = usize::try_from(from).expect("there are few");
        RpcClient::builder("simulated").client_id(id).retry(Retry::never()).transport(Arc::new(wire)).build()
    }

    /// A node is up.
    pub(super) fn serve(&self, id: NodeId, served: Served) {
        self.state().servers.insert(id, served);
    }

    /// A node is gone.
    pub(super) fn remove(&self, id: NodeId) {
        self.state().servers.remove(&id);
    }

    /// Nothing gets from one end to the other any more, or it does again.
    pub(super) fn set_cut(&self, from: End, to: End, cut: bool) {
        self.state().network(self.is_between(from, to)).0.set_cut(from, to, cut);
    }

    /// All links are whole.
    pub(super) fn heal(&self) {
        let mut state = self.state();
        state.between.heal();
        state.in_front.heal();
    }

    /// From now on nothing is lost, late or twice.
    pub(super) fn calm_down(&self) {
        let mut state = self.state();
        state.between.profile = Profile::REL;
        state.in_front.profile = Profile::REL;
        drop(state);
        self.heal();
    }

    /// How many calls there were.
    pub(super) fn calls(&self) -> u64 {
        self.state().calls
    }

    fn served(&self, id: NodeId) -> Option<Served> {
        self.state().servers.get(&id).cloned()
    }

    fn fate(&self, (from, to): (End, End), bytes: usize, is_reply: bool) -> Fate {
        let now = u64::try_from(self.began.elapsed().as_micros()).expect("runs are short");
        let mut state = self.state();
        state.calls += u64::from(!is_reply);
        let (network, random) = state.network(self.is_between(from, to));
        let letter = Letter { from, to, bytes, now };
        if is_reply { network.reply(random, letter) } else { network.request(random, letter) }
    }

    /// When a caller hears that there is nobody, if it does.
    fn report(&self, from: End, to: End) -> Option<u64> {
        let mut state = self.state();
        let (network, random) = state.network(self.is_between(from, to));
        network.report(random)
    }

    /// Takes a call to a node and its reply back; nothing when the caller never hears of it again.
    async fn carry(self: Arc<Self>, from: End, to: NodeId, call: Call) -> Option<RpcResult<Bytes>> {
        let (after_us, again_after_us) = match self.fate((from, to), call.arguments.len(), false) {
            Fate::Lost { reported_after_us } => return broken(reported_after_us).await,
            Fate::Arrives { after_us, again_after_us } => (after_us, again_after_us),
        };
        if let Some(again_after_us) = again_after_us
            && is_fit_to_repeat(&call)
        {
            let (net, copy) = (self.clone(), call.clone());
            tokio::spawn(async move {
                wait(again_after_us).await;
                if let Some(served) = net.served(to) {
                    // Nobody waits for the reply to the copy.
                    let _reply = served.server.send(copy).await;
                }
            });
        }
        wait(after_us).await;
        let Some(Served { server, gone, .. }) = self.served(to) else {
            // Nobody listens there: of that a caller is sure.
            let refused = broken(self.report(from, to)).await?;
            return Some(refused.map_err(RpcError::not_executed));
        };
        let reply = tokio::select! {
            biased;
            () = gone.notified() => return broken(self.report(from, to)).await,
            reply = server.send(call) => reply,
        };
        let bytes = reply.as_ref().map_or(0, Bytes::len);
        match self.fate((to, from), bytes, true) {
            Fate::Lost { reported_after_us } => broken(reported_after_us).await,
            Fate::Arrives { after_us, again_after_us: _ } => {
                wait(after_us).await;
                Some(reply)
            }
        }
    }
}

/// Whether a call is one that its receiver tells from its copies. HTTP repeats nothing by itself, and whoever calls the plain
/// service, or submits a command without a ticket, as a node does for such a caller, has no means against what does.
fn is_fit_to_repeat(call: &Call) -> bool {
    let has_ticket = || {
        let arguments: Result<serde_json::Value, _> = serde_json::from_slice(&call.arguments);
        arguments.is_ok_and(|arguments| arguments.get("ticket").is_some_and(|ticket| !ticket.is_null()))
    };
    match call.method.strip_prefix("rsm.") {
        Some("submit") => has_ticket(),
        Some(_) => true,
        None => call.method.starts_with("raft."),
    }
}

async fn wait(us: u64) {
    tokio::time::sleep(Duration::from_micros(us)).await;
}

async fn broken(reported_after_us: Option<u64>) -> Option<RpcResult<Bytes>> {
    wait(reported_after_us?).await;
    Some(Err(RpcError::unavailable("the connection broke")))
}

/// The way from one end to a node.
struct Wire {
    net: Arc<Net>,
    from: End,
    life: Option<u64>,
    to: NodeId,
}

impl Wire {
    /// Whether the caller is still there.
    fn is_alive(&self) -> bool {
        self.life.is_none_or(|life| self.net.served(self.from).is_some_and(|served| served.life == life))
    }
}

#[traitwire::async_trait]
impl Transport for Wire {
    async fn send(&self, call: Call) -> RpcResult<Bytes> {
        if !self.is_alive() {
            return Err(RpcError::unavailable("this node has crashed").not_executed());
        }
        // In a task of its own: what is on its way arrives, whether anybody still waits for the reply or not.
        let method = call.method.clone();
        let travelling = tokio::spawn(self.net.clone().carry(self.from, self.to, call));
        match travelling.await {
            Ok(Some(reply)) => {
                if self.from > self.net.nodes
                    && let Err(error) = &reply
                {
                    let what =
                        || format!("c{} n{} {method}: {:?}, {error}", self.from, self.to, error.executed());
                    self.net.book.line(what);
                }
                reply
            }
            Ok(None) => std::future::pending().await,
            Err(_) => Err(RpcError::unavailable("the run has ended")),
        }
    }
}
