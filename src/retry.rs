//! When a put that was sent more than once becomes `Maybe`: pure, and the same for every client.

use traitwire::{Executed, KVError, RpcError};

use crate::bugs::{ServiceBug, has};

/// How one attempt of a put ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The server answered.
    Answered(Result<(), KVError>),
    /// It did not.
    Failed(Executed),
}

/// What is known of a put after some attempts.
///
/// A refusal is definite only when no earlier attempt can have been executed. After one that may have been, `Version`
/// may be the put's own doing; and after `NoKey` a late copy of it may still be applied, once others have brought the
/// key to its version. Both are `Maybe`. `Ok` is always definite: the version admits one put.
#[derive(Clone, Copy, Debug, Default)]
pub struct Put {
    maybe_executed: bool,
}

impl Put {
    /// Takes in how an attempt ended; gives the put's result, or nothing when it must be sent again.
    pub fn after(&mut self, attempt: Attempt) -> Option<Result<(), KVError>> {
        match attempt {
            Attempt::Answered(Ok(())) => Some(Ok(())),
            Attempt::Answered(Err(KVError::Maybe)) => Some(Err(KVError::Maybe)),
            Attempt::Answered(Err(_)) if self.maybe_executed && !has(ServiceBug::MaybeAsVersion) => {
                Some(Err(KVError::Maybe))
            }
            Attempt::Answered(Err(refusal)) => Some(Err(refusal)),
            Attempt::Failed(executed) => {
                self.maybe_executed |= executed == Executed::Unknown;
                None
            }
        }
    }
}

impl Put {
    /// What is said when there are no more attempts: the last one's error, which speaks for all of them.
    pub fn unanswered(&self, last: RpcError) -> RpcError {
        if self.maybe_executed && !has(ServiceBug::LastErrorCounts) { last.maybe_executed() } else { last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_promises_nothing_that_an_earlier_attempt_may_have_broken() {
        let last = || RpcError::unavailable("nobody is there").not_executed();
        let mut put = Put::default();
        assert_eq!(put.after(Attempt::Failed(Executed::No)), None);
        assert_eq!(put.unanswered(last()).executed(), Executed::No);
        assert_eq!(put.after(Attempt::Failed(Executed::Unknown)), None);
        assert_eq!(put.after(Attempt::Failed(Executed::No)), None);
        assert_eq!(put.unanswered(last()).executed(), Executed::Unknown);
    }

    fn check(attempts: &[Attempt], expected: Result<(), KVError>) {
        let mut put = Put::default();
        let (last, failed) = attempts.split_last().expect("a put has an attempt");
        for attempt in failed {
            assert_eq!(put.after(*attempt), None, "{attempts:?}");
        }
        assert_eq!(put.after(*last), Some(expected), "{attempts:?}");
    }

    #[test]
    fn a_refusal_is_definite_until_an_attempt_may_have_run() {
        use Attempt::{Answered, Failed};
        for refusal in [KVError::Version, KVError::NoKey] {
            check(&[Answered(Err(refusal))], Err(refusal));
            check(&[Failed(Executed::No), Answered(Err(refusal))], Err(refusal));
            check(&[Failed(Executed::Unknown), Answered(Err(refusal))], Err(KVError::Maybe));
            check(
                &[Failed(Executed::Unknown), Failed(Executed::No), Answered(Err(refusal))],
                Err(KVError::Maybe),
            );
        }
        check(&[Failed(Executed::Unknown), Answered(Ok(()))], Ok(()));
        check(&[Answered(Err(KVError::Maybe))], Err(KVError::Maybe));
    }
}
