//! Whether the other nodes answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use traitwire::{Code, RpcError};

use crate::services::raft::NodeId;

/// What has become of the requests to each of the other nodes since somebody last asked. A request notes its outcome without
/// a look at a clock.
#[derive(Debug, Default)]
pub struct Contacts(RwLock<BTreeMap<NodeId, Arc<Contact>>>);

#[derive(Debug, Default)]
struct Contact {
    has_answered: AtomicBool,
    has_failed: AtomicBool,
    /// The first error since somebody last asked.
    error: Mutex<Option<RpcError>>,
}

/// What has become of the requests to a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Contacted {
    /// There were none.
    Not,
    /// It has answered some of them.
    Answered,
    /// None of them was answered as a peer answers; why the first was not.
    Failed(RpcError),
}

impl Contacts {
    /// Takes in who the other nodes are now. What is known of those that stay is kept.
    pub(super) fn set_nodes(&self, nodes: &[NodeId]) {
        let mut contacts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        contacts.retain(|node, _| nodes.contains(node));
        for node in nodes {
            contacts.entry(*node).or_default();
        }
    }

    fn get(&self, node: NodeId) -> Option<Arc<Contact>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }

    /// Notes the outcome of a request.
    pub fn note<T>(&self, to: NodeId, outcome: Result<&T, &RpcError>) {
        let Some(contact) = self.get(to) else { return };
        match outcome.err().filter(|error| !is_answer(error)) {
            // Looked at first: a line of the cache that is only read stays where it is.
            None if contact.has_answered.load(Ordering::Relaxed) => {}
            None => contact.has_answered.store(true, Ordering::Relaxed),
            Some(_) if contact.has_failed.swap(true, Ordering::Relaxed) => {}
            Some(error) => {
                *contact.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            }
        }
    }

    /// What has become of the requests to a node since the last call of this.
    pub fn take(&self, to: NodeId) -> Contacted {
        let Some(contact) = self.get(to) else { return Contacted::Not };
        let error = contact.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        contact.has_failed.store(false, Ordering::Relaxed);
        match (contact.has_answered.swap(false, Ordering::Relaxed), error) {
            (true, _) => Contacted::Answered,
            (false, Some(error)) => Contacted::Failed(error),
            (false, None) => Contacted::Not,
        }
    }
}

/// Whether an error is the answer of a peer that works and has too much to do. A peer that refuses messages, because it
/// belongs to another cluster or is no node at all, is as good as unreachable, and the error says why.
fn is_answer(error: &RpcError) -> bool {
    error.code() == Code::ResourceExhausted
}

/// An error without the URL that the HTTP client puts before it: the line has the URL already, and room for the reason.
pub(in crate::kv_raft) fn reason(message: &str) -> &str {
    let after_url =
        message.strip_prefix("error sending request for url (").and_then(|rest| rest.split_once("): "));
    after_url.map_or(message, |(_, reason)| reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_reported_once_and_an_answer_outweighs_failures() {
        let contacts = Contacts::default();
        contacts.set_nodes(&[2]);
        let (gone, late) = (RpcError::unavailable("refused"), RpcError::deadline_exceeded("late"));
        assert_eq!(contacts.take(2), Contacted::Not);
        contacts.note::<()>(2, Err(&gone));
        contacts.note::<()>(2, Err(&late));
        assert_eq!((contacts.take(2), contacts.take(2)), (Contacted::Failed(gone.clone()), Contacted::Not));
        contacts.note::<()>(2, Err(&late));
        contacts.note(2, Ok(&()));
        assert_eq!((contacts.take(2), contacts.take(2)), (Contacted::Answered, Contacted::Not));
        contacts.note::<()>(2, Err(&RpcError::resource_exhausted("busy")));
        assert_eq!(contacts.take(2), Contacted::Answered);
        let stranger = RpcError::unimplemented("HTTP 404");
        contacts.note::<()>(2, Err(&stranger));
        assert_eq!(contacts.take(2), Contacted::Failed(stranger));
        contacts.note(3, Ok(&()));
        assert_eq!(contacts.take(3), Contacted::Not);
    }

    #[test]
    fn contacts_follow_the_nodes_of_the_cluster() {
        let contacts = Contacts::default();
        contacts.set_nodes(&[2, 3]);
        contacts.note(2, Ok(&()));
        contacts.note(3, Ok(&()));
        contacts.set_nodes(&[3, 4]);
        contacts.note(2, Ok(&()));
        contacts.note(4, Ok(&()));
        assert_eq!([2, 3, 4].map(|node| contacts.take(node) == Contacted::Answered), [false, true, true]);
    }
}
