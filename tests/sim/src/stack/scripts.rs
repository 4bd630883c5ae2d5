//! Runs of whole nodes that are made by hand.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use traitwire_kv::kv_raft::machine::KvMachine;
use traitwire_kv::kv_raft::rsm::Rsm;
use traitwire_kv::services::raft::{Index, NodeId};
use traitwire_kv::services::rsm::ReplyErr;

use super::book::Book;
use super::plan::StackPlan;
use super::run::{converge, in_virtual_time};
use super::world::World;
use crate::trace::Trace;
use crate::violation::{Rule, Violation, ensure};

/// How long it may take until a node leads.
const ELECTION_MAX: Duration = Duration::from_secs(5);
/// Longer than any message is under way.
const A_WHILE: Duration = Duration::from_millis(300);

/// M9: two leaders hand out the same index, and the first command is the one that is committed there. Whoever submitted the
/// second is not told the reply to the first, and nobody is told anything definite that is not so.
///
/// # Errors
/// When that is not so.
pub fn an_index_comes_again(seed: u64) -> Result<(), Violation> {
    in_virtual_time(seed, async {
        let plan = StackPlan { nodes: 5, ..StackPlan::calm(seed) };
        let mut world = World::new(plan, Book::new(Trace::brief()))?;
        let first = world.leader_besides(&[], ELECTION_MAX).await?;
        let warm = submit(&world, first, "warm").await.expect("it does not panic");
        ensure(warm.is_ok(), Rule::Bar, || format!("{warm:?}"))?;
        converge(&world).await?;

        // The first leader reaches one other node, which is no majority.
        let friend = (1..=5).find(|id| *id != first).expect("there are five");
        let pair = [first, friend];
        world.cut(|from, to| pair.contains(&from) != pair.contains(&to));
        let one = submit(&world, first, "one");
        sleep(A_WHILE).await;
        let second = world.leader_besides(&pair, ELECTION_MAX).await?;
        world.cut(|from, to| from == second || to == second || pair.contains(&from) != pair.contains(&to));
        let two = submit(&world, second, "two");
        sleep(A_WHILE).await;
        let (index_one, index_two) = (last_index(&world, first), last_index(&world, second));
        ensure(index_one == index_two, Rule::Bar, || {
            format!("the script does not work: {index_one} and {index_two}")
        })?;

        // Without the second leader, the log with the first command is the longest.
        world.cut(|from, to| from == second || to == second);
        world.leader_besides(&[second], ELECTION_MAX).await?;
        sleep(A_WHILE).await;
        world.calm_down().await?;
        converge(&world).await?;
        let [one, two] = [one.await, two.await].map(|told| told.expect("it does not panic"));
        let perhaps = |told: &Told| matches!(told, Err(error) if error.may_be_submitted());
        ensure(perhaps(&one) && perhaps(&two), Rule::AppliedOnce, || format!("{one:?}, {two:?}"))?;
        let leader = world.leader_besides(&[], ELECTION_MAX).await?;
        let found = rsm(&world, leader).peek(|machine| ["one", "two"].map(|key| machine.get(key).version));
        ensure(found == [1, 0], Rule::Bar, || format!("the script does not work: {found:?}"))
    })
}

/// What whoever submits a command is told.
type Told = Result<Box<RawValue>, ReplyErr>;

fn rsm(world: &World, id: NodeId) -> &Arc<Rsm<KvMachine>> {
    world.rsm(id).expect("all nodes run in this script")
}

/// Puts a key that does not exist at a node, without a client.
fn submit(world: &World, id: NodeId, key: &str) -> JoinHandle<Told> {
    let rsm = rsm(world, id).clone();
    let command = serde_json::json!({ "put": { "key": key, "value": "", "version": 0 } });
    let command = serde_json::value::to_raw_value(&command).expect("it has string keys");
    tokio::spawn(async move { rsm.submit(&command, None).await })
}

fn last_index(world: &World, id: NodeId) -> Index {
    rsm(world, id).raft().status().last_index
}
