//! Histories from a seed: random ones, legal ones recorded from a simulated store, and corrupted ones.

use fastrand::Rng;
use traitwire_checker::{History, Input, Operation, Outcome};

/// A history of nothing but chance: most are illegal, and the smaller `span` is, the more calls overlap.
pub(crate) fn random(rng: &mut Rng, calls: usize, span: u64) -> History {
    let mut history = start(rng);
    for client in 0..calls {
        let begin = rng.u64(0..span);
        let input = if rng.bool() { Input::Get } else { put(rng, 0..4) };
        let outcome = match (&input, rng.u32(0..6)) {
            (_, 0) => None,
            (_, 1) => Some(Outcome::NoKey),
            (Input::Get, _) => Some(Outcome::Value { value: value(rng), version: rng.u64(0..5) }),
            (Input::Put { .. }, 2) => Some(Outcome::Version),
            (Input::Put { .. }, 3) => Some(Outcome::Maybe),
            (Input::Put { .. }, _) => Some(Outcome::Ok),
        };
        let call = history.invoke(client as u64, "k", input, begin);
        if let Some(outcome) = outcome {
            history.complete(call, outcome, begin + rng.u64(0..span));
        }
    }
    history
}

/// How a simulated store is used.
pub(crate) struct Load {
    pub(crate) keys: Vec<String>,
    pub(crate) clients: usize,
    pub(crate) calls: usize,
    /// One put in so many is not answered definitely: half of these were applied.
    pub(crate) one_unclear_put_in: u32,
}

impl Load {
    /// Calls on the key "k" alone.
    pub(crate) fn one_key(clients: usize, calls: usize, one_unclear_put_in: u32) -> Self {
        Self { keys: vec!["k".to_owned()], clients, calls, one_unclear_put_in }
    }
}

/// A legal history: clients call a store that is one map, each call taking effect somewhere between its ends.
pub(crate) fn legal(rng: &mut Rng, load: &Load) -> History {
    let mut history = History::new();
    let mut held: std::collections::BTreeMap<&str, (String, u64)> = std::collections::BTreeMap::new();
    let mut busy = vec![None; load.clients];
    let mut now = 0;
    let mut begun = 0;
    while begun < load.calls || busy.iter().any(Option::is_some) {
        now += 1;
        let client = rng.usize(0..load.clients);
        match busy[client].take() {
            None if begun == load.calls => {}
            None => {
                let key = &load.keys[rng.usize(0..load.keys.len())];
                let version = held.get(key.as_str()).map_or(0, |(_, version)| *version);
                let input = if rng.u32(0..3) == 0 { Input::Get } else { put(rng, version..version + 2) };
                let call = history.invoke(client as u64, key, input.clone(), now);
                busy[client] = Some((call, key, input, None));
                begun += 1;
            }
            // The call takes effect, and its answer is on the way.
            Some((call, key, input, None)) => {
                let unclear = rng.u32(0..load.one_unclear_put_in) == 0;
                let outcome = take_effect(rng, held.get(key.as_str()).cloned(), &input, unclear);
                if let Some(state) = outcome.1 {
                    held.insert(key, state);
                }
                busy[client] = Some((call, key, input, Some(outcome.0)));
            }
            Some((call, _, _, Some(outcome))) => {
                if let Some(outcome) = outcome {
                    history.complete(call, outcome, now);
                }
            }
        }
    }
    history
}

type State = Option<(String, u64)>;

/// The answer (none: it is lost for good) and the state after it, if that changes.
fn take_effect(rng: &mut Rng, held: State, input: &Input, unclear: bool) -> (Option<Outcome>, State) {
    let (asked, version) = match input {
        Input::Get => {
            let found = held.map_or(Outcome::NoKey, |(value, version)| Outcome::Value { value, version });
            return (Some(found), None);
        }
        Input::Put { value, version } => (value, *version),
    };
    let held = held.map_or(0, |(_, version)| version);
    let after = (held == version).then(|| (asked.clone(), version + 1));
    if unclear {
        let outcome = rng.bool().then_some(Outcome::Maybe);
        return (outcome, after.filter(|_| rng.bool()));
    }
    let outcome = match (after.is_some(), held) {
        (true, _) => Outcome::Ok,
        (false, 0) => Outcome::NoKey,
        (false, _) => Outcome::Version,
    };
    (Some(outcome), after)
}

/// The same history with one call changed: its answer, its value, its version or its place in time.
pub(crate) fn corrupt(rng: &mut Rng, history: &History) -> History {
    let mut operations = history.operations().to_vec();
    let index = rng.usize(0..operations.len());
    let last =
        operations.iter().filter_map(|operation| operation.completion.as_ref()).map(|(at, _)| *at).max();
    mutate(rng, &mut operations[index], last.unwrap_or(0));
    rebuild(history, operations)
}

fn mutate(rng: &mut Rng, operation: &mut Operation, last: u64) {
    match (rng.u32(0..4), &mut operation.input, &mut operation.completion) {
        (0, _, Some((end, _))) => {
            // Moved as a whole to another time.
            let length = *end - operation.invoked;
            operation.invoked = rng.u64(0..=last);
            *end = operation.invoked + length;
        }
        (1, _, Some((end, _))) => *end = operation.invoked + (*end - operation.invoked) / 2,
        (2, Input::Put { version, .. }, _) => *version = (*version + 1).saturating_sub(rng.u64(0..3)),
        (_, Input::Get, Some((_, outcome))) => match outcome {
            Outcome::Value { version, .. } if rng.bool() => {
                *version = (*version + 1).saturating_sub(rng.u64(0..3));
            }
            Outcome::Value { value: seen, .. } if rng.bool() => *seen = value(rng),
            Outcome::Value { .. } => *outcome = Outcome::NoKey,
            _ => *outcome = Outcome::Value { value: value(rng), version: 1 },
        },
        (_, Input::Put { .. }, Some((_, outcome))) => {
            *outcome = rng
                .choice([Outcome::Ok, Outcome::Version, Outcome::NoKey, Outcome::Maybe])
                .expect("a choice");
        }
        (_, Input::Put { value: written, .. }, None) => *written = value(rng),
        (_, Input::Get, None) => {}
    }
}

fn rebuild(original: &History, operations: Vec<Operation>) -> History {
    let mut history = History::new();
    if let Some((value, version)) = original.initial("k") {
        history = history.with_initial("k", value, version);
    }
    for operation in operations {
        let call = history.invoke(operation.client, &operation.key, operation.input, operation.invoked);
        if let Some((end, outcome)) = operation.completion {
            history.complete(call, outcome, end);
        }
    }
    history
}

fn start(rng: &mut Rng) -> History {
    if rng.u32(0..3) == 0 {
        History::new().with_initial("k", &value(rng), rng.u64(1..4))
    } else {
        History::new()
    }
}

fn put(rng: &mut Rng, versions: std::ops::Range<u64>) -> Input {
    Input::Put { value: value(rng), version: rng.u64(versions) }
}

fn value(rng: &mut Rng) -> String {
    rng.choice(["x", "y", "z"]).expect("three to choose from").to_owned()
}
