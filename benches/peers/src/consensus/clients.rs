//! Clusters whose nodes are tasks: each client is a task too, and has one command outstanding.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::measure::{Sample, Watch};
use super::{Amount, WARM_UP};
use crate::harness::histogram::Histogram;
use crate::harness::runtime;

/// A cluster that has a leader.
pub trait Cluster: Sized {
    /// What clients call.
    type Leader: Leader;

    /// Starts three nodes and waits until one leads.
    fn start() -> impl Future<Output = Self>;

    /// The one that leads.
    fn leader(&self) -> Self::Leader;

    /// Stops the nodes.
    fn stop(self) -> impl Future<Output = ()>;
}

/// The way to a leader.
pub trait Leader: Clone + Send + 'static {
    /// Has one command committed, and waits until the leader's state machine has it.
    fn commit(&self) -> impl Future<Output = ()> + Send;
}

/// Lets so many clients commit for a while.
pub fn run<C: Cluster>(amount: Amount) -> Sample {
    let runtime = runtime(amount.workers).expect("the system gives threads");
    runtime.block_on(async {
        let cluster = C::start().await;
        let commits = Arc::new(Mutex::new(Histogram::default()));
        let client = |_| tokio::spawn(client(cluster.leader(), commits.clone()));
        let clients: Vec<_> = (0..amount.outstanding).map(client).collect();
        tokio::time::sleep(WARM_UP).await;
        take(&commits);
        let watch = Watch::start();
        tokio::time::sleep(amount.duration).await;
        let sample = watch.stop(&take(&commits));
        for client in clients {
            assert!(!client.is_finished(), "a client has given up");
            client.abort();
            // The nodes must outlive the calls under way.
            assert!(client.await.is_err_and(|error| error.is_cancelled()), "a client has failed");
        }
        cluster.stop().await;
        sample
    })
}

async fn client(leader: impl Leader, commits: Arc<Mutex<Histogram>>) {
    loop {
        let begin = Instant::now();
        leader.commit().await;
        commits.lock().unwrap_or_else(PoisonError::into_inner).add(begin.elapsed(), 1);
    }
}

fn take(commits: &Mutex<Histogram>) -> Histogram {
    std::mem::take(&mut commits.lock().unwrap_or_else(PoisonError::into_inner))
}
