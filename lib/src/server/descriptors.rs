//! How many files and sockets the process may have open.

/// Raises the limit of this process on open files to what the system allows it, and returns it; nothing where it is not
/// known. A program that serves many connections calls this once, when it starts: the usual limit of 1,024 is meant for
/// programs that use `select`.
pub fn raise_descriptor_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
            if let Err(error) = setrlimit(Resource::Nofile, raised) {
                tracing::debug!(%error, "cannot raise the limit on open files");
            }
        }
    }
    current()
}

/// How many connections may be open, so that others keep so many descriptors.
pub(super) fn for_connections(reserved: usize) -> usize {
    let Some(limit) = current() else { return usize::MAX };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    limit.saturating_sub(reserved.min(limit / 2)).max(1)
}

/// The limit; nothing where there is none.
fn current() -> Option<u64> {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    None
}
