//! Records what clients of a key-value service see, and checks that one store could have answered so.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use traitwire::{KVError, KvClient, Version, async_trait};
use traitwire_checker::{CallId, History, Input, Operation, Outcome, Time, Verdict, check, search};

use super::wait::{promised, within};

/// Steps for one key's check. It takes a few a call, so that this is enough for histories of millions of calls.
const STEPS_MAX: u64 = 50_000_000;
/// Up to how many calls a history gets a second opinion, and the steps for it. The second opinion may find no answer.
const SEARCH_CALLS_MAX: usize = 3_000;
const SEARCH_STEPS_MAX: u64 = 50_000;

/// How long a call may take before the test fails instead of hanging: longer than any fault of a test lasts.
const CALL_TIME_MAX: Duration = Duration::from_secs(100);

/// One history, written by any number of clients.
pub(crate) struct Recorder {
    started: Instant,
    record: Mutex<Record>,
}

struct Record {
    history: History,
    latest: Time,
}

impl Recorder {
    /// For a store that is empty.
    pub(crate) fn new() -> Arc<Self> {
        Self::going_on_from(History::new())
    }

    /// For a store that holds what this history begins with.
    pub(crate) fn going_on_from(history: History) -> Arc<Self> {
        let record = Mutex::new(Record { history, latest: 0 });
        Arc::new(Self { started: Instant::now(), record })
    }

    /// Wraps a client, so that its calls are recorded.
    pub(crate) fn client(self: &Arc<Self>, id: u64, inner: impl KvClient + 'static) -> Arc<RecordedClient> {
        Arc::new(RecordedClient { id, inner: Arc::new(inner), recorder: Arc::clone(self) })
    }

    /// What was recorded so far. A call that is under way has no answer in it.
    pub(crate) fn history(&self) -> History {
        self.record().history.clone()
    }

    /// The present moment, as the record knows it.
    pub(crate) fn now(&self) -> Time {
        let mut record = self.record();
        self.tick(&mut record)
    }

    /// How long the calls took that began between these moments, sorted. A call under way counts as if it ended now.
    pub(crate) fn latencies(&self, from: Time, to: Time) -> Vec<Duration> {
        let now = self.now();
        let record = self.record();
        let operations = record.history.operations();
        let first = operations.partition_point(|it| it.invoked < from);
        let within = operations[first..].iter().take_while(|it| it.invoked < to);
        let ended = |it: &Operation| it.completion.as_ref().map_or(now, |(at, _)| *at);
        let mut latencies: Vec<_> = within.map(|it| Duration::from_nanos(ended(it) - it.invoked)).collect();
        drop(record);
        latencies.sort_unstable();
        latencies
    }

    /// Panics with a report if no single store could have answered so.
    pub(crate) fn check(&self) {
        let history = self.history();
        let verdict = check(&history, STEPS_MAX);
        promised!(verdict.is_legal(), "{verdict}");
        if history.operations().len() <= SEARCH_CALLS_MAX {
            let second = search(&history, SEARCH_STEPS_MAX);
            assert!(!matches!(second, Verdict::Illegal(_)), "the checker contradicts itself: {second}");
        }
    }

    fn invoke(&self, client: u64, key: &str, input: Input) -> CallId {
        let mut record = self.record();
        let now = self.tick(&mut record);
        record.history.invoke(client, key, input, now)
    }

    fn complete(&self, call: CallId, outcome: Outcome) {
        let mut record = self.record();
        let now = self.tick(&mut record);
        record.history.complete(call, outcome, now);
    }

    /// The time, and never the same twice, so that the order of events is kept.
    fn tick(&self, record: &mut Record) -> Time {
        let elapsed = u64::try_from(self.started.elapsed().as_nanos()).expect("a test ends within 500 years");
        record.latest = elapsed.max(record.latest + 1);
        record.latest
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().expect("a recorder that broke its rules has failed the test already")
    }
}

/// A client whose calls are recorded. A call that is dropped midway stays in the record as one without an answer.
pub(crate) struct RecordedClient {
    id: u64,
    inner: Arc<dyn KvClient>,
    recorder: Arc<Recorder>,
}

#[async_trait]
impl KvClient for RecordedClient {
    async fn get(&self, key: &str) -> Result<(String, Version), KVError> {
        let call = self.recorder.invoke(self.id, key, Input::Get);
        let result = within(CALL_TIME_MAX, format!("a get of `{key}`"), self.inner.get(key)).await;
        match &result {
            Ok((value, version)) => {
                self.recorder.complete(call, Outcome::Value { value: value.clone(), version: *version });
            }
            Err(KVError::NoKey) => self.recorder.complete(call, Outcome::NoKey),
            Err(error @ (KVError::Version | KVError::Maybe)) => {
                promised!(false, "client {}: a get of `{key}` was answered {error:?}", self.id);
            }
        }
        result
    }

    async fn put(&self, key: &str, value: &str, version: Version) -> Result<(), KVError> {
        let call = self.recorder.invoke(self.id, key, Input::Put { value: value.to_owned(), version });
        let result =
            within(CALL_TIME_MAX, format!("a put of `{key}`"), self.inner.put(key, value, version)).await;
        let outcome = match result {
            Ok(()) => Outcome::Ok,
            Err(KVError::NoKey) => Outcome::NoKey,
            Err(KVError::Version) => Outcome::Version,
            Err(KVError::Maybe) => Outcome::Maybe,
        };
        self.recorder.complete(call, outcome);
        result
    }
}
