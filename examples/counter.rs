//! A replicated state machine of one's own: named counters.
//!
//! One node is a cluster: `cargo run --example counter`, then
//! `curl http://127.0.0.1:7301/counter.add -d '{"name": "a", "by": 2}'`. For three, give each its id:
//! `cargo run --example counter -- 1 3`, and so on with 2 and 3; whichever leads answers.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use serde_json::value::to_raw_value;
use traitwire::{RpcError, RpcResult, Services};
use traitwire_kv::kv_raft::rsm::{NodeConfig, RaftTiming, Rsm, RsmOptions, StateMachine};

/// Each counter with its count. A command is a name and what to add, a reply the new count.
#[derive(Default)]
struct Counters(BTreeMap<String, i64>);

impl StateMachine for Counters {
    fn apply(&mut self, command: &str) -> String {
        let Ok((name, by)) = serde_json::from_str::<(String, i64)>(command) else { return "null".to_owned() };
        let count = self.0.entry(name).or_default();
        *count = count.saturating_add(by);
        count.to_string()
    }

    fn snapshot(&self) -> Box<dyn Read + Send> {
        Box::new(io::Cursor::new(serde_json::to_vec(&self.0).expect("names and numbers have a JSON form")))
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        self.0 = serde_json::from_reader(snapshot)?;
        Ok(())
    }
}

/// Counters that survive.
#[traitwire::service(prefix = "counter")]
trait Counter: Send + Sync {
    /// Adds to a counter, and says what it has come to.
    async fn add(&self, name: String, by: i64) -> RpcResult<i64>;
}

struct Front(Arc<Rsm<Counters>>);

#[traitwire::async_trait]
impl Counter for Front {
    async fn add(&self, name: String, by: i64) -> RpcResult<i64> {
        let command = to_raw_value(&(name, by)).map_err(|error| RpcError::internal(error.to_string()))?;
        let reply = self.0.submit(&command, None).await?;
        serde_json::from_str(reply.get()).map_err(|error| RpcError::internal(error.to_string()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (id, nodes) = (numbers.next().unwrap_or(Ok(1))?, numbers.next().unwrap_or(Ok(1))?);
    let peers = (1..=nodes).map(|node| (node, format!("http://127.0.0.1:{}", 7300 + node))).collect();
    let data = std::env::temp_dir().join(format!("traitwire-counter-{id}"));
    let (cluster, rsm, timing) = ("counter".to_owned(), RsmOptions::default(), RaftTiming::default());
    let (url, bootstrap, join) = (None, false, None);
    let config = NodeConfig { cluster, id, peers, url, bootstrap, join, data, rsm, timing };
    let rsm = Rsm::open(&config, Counters::default())?;
    let services = Services::new().mount(rsm.raft().server()).mount(CounterServer::new(Front(rsm.clone())));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", u16::try_from(7300 + id)?)).await?;
    traitwire::serve(listener, services, async { drop(tokio::signal::ctrl_c().await) }).await?;
    rsm.stop().await;
    Ok(())
}
