//! Runs in turns, so that what disturbs the machine for a while disturbs all cases.

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

/// Runs every case `rounds` times, one after the other in every round; gives what came of each case.
pub async fn take<C, S>(
    cases: &[C],
    rounds: usize,
    name: impl Fn(&C) -> String,
    mut run: impl AsyncFnMut(&C) -> Result<S>,
) -> Result<Vec<Vec<S>>> {
    let progress = progress(rounds * cases.len())?;
    let mut samples: Vec<Vec<S>> = cases.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (case, samples) in cases.iter().zip(&mut samples) {
            progress.set_message(name(case));
            samples.push(run(case).await.with_context(|| name(case))?);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(samples)
}

/// A bar on standard error, where that is a terminal.
pub fn progress(steps: usize) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?;
    let progress = ProgressBar::new(steps as u64).with_style(style);
    progress.tick();
    Ok(progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_cases_have_a_turn_before_any_has_another() {
        let mut order = Vec::new();
        let name = |case: &char| case.to_string();
        let samples = take(&['a', 'b'], 2, name, async |case: &char| {
            order.push(*case);
            Ok(order.len())
        });
        assert!(samples.await.is_ok_and(|samples| samples == [[1, 3], [2, 4]]));
        assert_eq!(order, ['a', 'b', 'a', 'b']);
    }
}
