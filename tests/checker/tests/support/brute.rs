//! The definition of linearizable, taken literally: is there an order? It is written from the public types alone and
//! shares no code with the checker.

use traitwire_checker::{History, Input, Operation, Outcome};

/// Whether a history of one key, of a handful of calls, is linearizable.
pub(crate) fn is_linearizable(history: &History) -> bool {
    let operations: Vec<&Operation> = history.operations().iter().collect();
    assert!(operations.len() <= 9, "brute force is for small histories");
    let state = history.initial("k").map(|(value, version)| (value.to_owned(), version));
    extend(&operations, state)
}

type State = Option<(String, u64)>;

/// Whether the calls that are left can follow `state`, tried with each of them as the next.
fn extend(left: &[&Operation], state: State) -> bool {
    if left.is_empty() {
        return true;
    }
    (0..left.len()).any(|index| {
        let next = left[index];
        let mut rest = left.to_vec();
        rest.remove(index);
        let overtaken =
            rest.iter().any(|other| matches!(other.completion, Some((end, _)) if end < next.invoked));
        !overtaken && outcomes(next, &state).into_iter().any(|after| extend(&rest, after))
    })
}

/// The states that can follow when the operation takes effect now; none if it cannot have been answered as it was.
fn outcomes(operation: &Operation, state: &State) -> Vec<State> {
    let held = state.as_ref().map_or(0, |(_, version)| *version);
    let unchanged = |fits: bool| if fits { vec![state.clone()] } else { vec![] };
    let outcome = operation.completion.as_ref().map(|(_, outcome)| outcome);
    match (&operation.input, outcome) {
        (Input::Get, None) => unchanged(true),
        (Input::Get, Some(Outcome::NoKey)) => unchanged(state.is_none()),
        (Input::Get, Some(Outcome::Value { value, version })) => {
            unchanged(*state == Some((value.clone(), *version)))
        }
        (Input::Put { value, version }, None | Some(Outcome::Ok | Outcome::Maybe)) => {
            let mut after = Vec::new();
            if held == *version {
                after.push(Some((value.clone(), version + 1)));
            }
            if outcome != Some(&Outcome::Ok) {
                after.push(state.clone());
            }
            after
        }
        (Input::Put { version, .. }, Some(Outcome::NoKey)) => unchanged(state.is_none() && *version != 0),
        (Input::Put { version, .. }, Some(Outcome::Version)) => {
            unchanged(state.is_some() && held != *version)
        }
        (Input::Get, Some(other)) => panic!("a get is not answered {other:?}"),
        (Input::Put { .. }, Some(other)) => panic!("a put is not answered {other:?}"),
    }
}
