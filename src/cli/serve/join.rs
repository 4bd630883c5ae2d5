//! What an empty node learns from a cluster before it starts to join it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use traitwire::log::Excerpt;
use traitwire::{Retry, RpcClient};
use traitwire_kv::services::member::{MemberErr, MemberList, Members as _, MembersStub};
use traitwire_kv::services::raft::{ClusterId, NodeId};
use traitwire_kv::url::ServerUrl;

use crate::cli::Failure;

/// How long to go on where the cluster does not answer, and how long to wait before it is asked again.
const ASK_TIME: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);

/// Which node it is going to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Joining {
    pub(super) id: NodeId,
    pub(super) cluster: String,
    pub(super) cluster_id: ClusterId,
}

/// Asks a member of the cluster.
pub(super) async fn ask(
    url: &ServerUrl,
    id: Option<NodeId>,
    cluster: Option<&str>,
) -> Result<Joining, Failure> {
    let stub = MembersStub::new(RpcClient::builder(url.as_str()).retry(Retry::never()).build());
    let end = Instant::now() + ASK_TIME;
    loop {
        match stub.list().await {
            Ok(list) => {
                return decide(&list, id, cluster)
                    .map_err(|problem| Failure::new(format!("--join {}: {problem}", Excerpt(url.as_str()))));
            }
            Err(error) => {
                let is_final = matches!(error, MemberErr::Unimplemented(_));
                if is_final || Instant::now() + PAUSE >= end {
                    let advice = "give the URL of a node that belongs to the cluster and runs this version of traitwire";
                    let url = Excerpt(url.as_str());
                    return Err(Failure::new(format!("--join {url}: no list of members: {error}; {advice}")));
                }
            }
        }
        sleep(PAUSE).await;
    }
}

fn decide(list: &MemberList, id: Option<NodeId>, cluster: Option<&str>) -> Result<Joining, String> {
    if let Some(cluster) = cluster.filter(|cluster| *cluster != list.cluster) {
        return Err(format!(
            "that node belongs to the cluster `{}`, not to `{}`: leave out --cluster, or join another one",
            Excerpt(&list.cluster),
            Excerpt(cluster)
        ));
    }
    let Some(cluster_id) = list.cluster_id else {
        return Err("the cluster has no id yet: start all of its nodes with this version of traitwire first"
            .to_owned());
    };
    let ids = || list.members.iter().map(|member| member.id);
    if let Some(id) = id.filter(|id| ids().any(|member| member == *id)) {
        return Err(format!(
            "node {id} is a member of that cluster already: leave out --id, or, if this is node {id} and its data is lost, start it \
             with --peers instead of --join"
        ));
    }
    let next = ids()
        .max()
        .unwrap_or(0)
        .checked_add(1)
        .ok_or("no id is free above those of the members: choose one with --id")?;
    Ok(Joining { id: id.unwrap_or(next), cluster: list.cluster.clone(), cluster_id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use traitwire_kv::services::member::{MemberInfo, MemberRole};

    fn list(ids: &[NodeId]) -> MemberList {
        let member = |id: &NodeId| MemberInfo {
            id: *id,
            incarnation: None,
            url: None,
            role: MemberRole::Voter,
            goal: None,
            behind: None,
            reachable: None,
        };
        MemberList {
            cluster: "c".to_owned(),
            cluster_id: Some(ClusterId(7)),
            node: 1,
            leader: Some(1),
            index: 1,
            joint: false,
            in_progress: None,
            members: ids.iter().map(member).collect(),
        }
    }

    #[test]
    fn a_node_takes_the_name_of_the_cluster_and_a_free_id() {
        let joining = |id| Ok(Joining { id, cluster: "c".to_owned(), cluster_id: ClusterId(7) });
        assert_eq!(decide(&list(&[1, 2, 3]), None, None), joining(4));
        assert_eq!(decide(&list(&[9, 2]), None, Some("c")), joining(10));
        assert_eq!(decide(&list(&[9, 2]), Some(3), None), joining(3));
    }

    #[test]
    fn what_cannot_join_is_told_why() {
        let without_id = MemberList { cluster_id: None, ..list(&[1]) };
        for (list, id, cluster, reason) in [
            (list(&[1]), None, Some("d"), "belongs to the cluster `c`, not to `d`"),
            (without_id, None, None, "has no id yet"),
            (list(&[1, 2]), Some(2), None, "node 2 is a member of that cluster already"),
            (list(&[u64::MAX]), None, None, "choose one with --id"),
        ] {
            let refused = decide(&list, id, cluster).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }
}
