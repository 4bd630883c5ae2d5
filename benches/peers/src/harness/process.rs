//! What the system says of processes: their processor time and their memory.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The unit of the times in `/proc/PID/stat`: a hundredth of a second (`USER_HZ`, proc(5)).
const TICK: Duration = Duration::from_millis(10);

/// The processor time of this process, in all of its threads.
pub fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The processor time of these processes together, in user and kernel mode.
pub fn cpu_of(pids: &[u32]) -> Result<Duration> {
    pids.iter().map(|pid| cpu_of_one(*pid)).sum()
}

fn cpu_of_one(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("a server has ended: no {path}"))?;
    let ticks = ticks_in(&stat).with_context(|| format!("cannot understand {path}"))?;
    Ok(TICK * ticks)
}

/// Fields 14 and 15 are the times; the second one is a name in brackets that may hold anything.
fn ticks_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_whitespace().skip(11).map(|field| field.parse::<u32>().ok());
    Some(times.next()?? + times.next()??)
}

/// The memory of a process that is in RAM, in bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("a server has ended: no {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kib.with_context(|| format!("cannot understand {path}"))? * 1024)
}

/// Lets this process and those that it starts have as many open files as the system allows: some peers take a connection
/// for each call under way.
pub fn allow_many_files() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_found_behind_any_name() {
        let stat = "7 (a) 1 b) S 1 2 3 4 5 6 7 8 9 10 140 3 15 16";
        assert_eq!(ticks_in(stat), Some(143));
        assert_eq!(ticks_in("7 (a) S 1"), None);
    }

    #[test]
    fn a_process_that_works_uses_time_and_memory() {
        let before = own_cpu();
        while own_cpu() - before < 3 * TICK {}
        assert!(cpu_of(&[std::process::id()]).is_ok_and(|time| time >= TICK));
        assert!(resident_bytes(std::process::id()).is_ok_and(|bytes| bytes > 100_000));
    }
}
