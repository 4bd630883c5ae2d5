//! How the processor time of an operation grows: with how many are under way, with keys, with the log, with nodes.
//!
//! - `sweeps`: what is measured.
//! - `points`: what was measured, in a file and as a table.
//! - `charts`: what of it is drawn; `plot` and `scale`: how.

mod charts;
mod plot;
mod points;
mod scale;
mod sweeps;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use self::points::{Point, Points};
use self::sweeps::Sweep;
use crate::harness::{Output, Repeat, block_on, positive};
use crate::kv::Stores;

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only these; what was measured of the others before stays.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Sweep>,
    /// How many operations are under way at once, in `concurrency` and `calls`.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256,1024", value_parser = positive)]
    concurrency: Vec<usize>,
    /// How many keys the store has, in `keys`.
    #[arg(long, value_delimiter = ',', default_value = "1000,100000,1000000", value_parser = positive)]
    keys: Vec<usize>,
    /// How many entries the log has, in `log`.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000", value_parser = positive)]
    entries: Vec<usize>,
    /// How many nodes a cluster has, in `nodes`.
    #[arg(long, value_delimiter = ',', default_value = "3,5,7", value_parser = positive)]
    nodes: Vec<usize>,
    /// How many operations are under way at once, in `keys`, `log` and `nodes`.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = positive)]
    fixed_concurrency: usize,
    /// Where `growth.json` and the pictures are.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../growth"))]
    out: PathBuf,
    /// Draw what was measured before, and measure nothing.
    #[arg(long)]
    draw_only: bool,
    /// The threads of the tokio runtime of the clients, and of each server of `calls`; 0 is the runtime of the current
    /// thread.
    #[arg(long, default_value_t = 0)]
    workers: usize,
    #[command(flatten)]
    stores: Stores,
    #[command(flatten)]
    repeat: Repeat,
    #[command(flatten)]
    output: Output,
}

impl Arguments {
    fn sweeps(&self) -> impl Iterator<Item = Sweep> {
        let all = Sweep::value_variants().iter().copied();
        all.filter(|sweep| self.only.is_empty() || self.only.contains(sweep))
    }
}

/// Measures, draws, and shows the table.
pub fn run(arguments: &Arguments) -> Result<()> {
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot make the folder {}", arguments.out.display()))?;
    if !arguments.draw_only {
        block_on(arguments.workers, measure(arguments))?;
    }
    let points = Points::read(&arguments.out)?;
    let points: Vec<_> = arguments.sweeps().flat_map(|sweep| points.of(sweep)).collect();
    draw(&arguments.out, &points, arguments.sweeps())?;
    points::show(&points, &arguments.output)?;
    let bad: Vec<_> =
        points.iter().filter(|point| point.is_bad()).map(|point| format!("\n  {point}")).collect();
    if !bad.is_empty() {
        bail!("where operations failed or none succeeded:{}", bad.concat());
    }
    Ok(())
}

/// Measures one sweep after the other, and keeps each when it is done.
async fn measure(arguments: &Arguments) -> Result<()> {
    if arguments.sweeps().any(|sweep| sweep != Sweep::Calls) {
        arguments.stores.program.check()?;
    }
    let workers = arguments.fixed_concurrency;
    for (filled, sizes) in [(Sweep::Keys, &arguments.keys), (Sweep::Log, &arguments.entries)] {
        let is_wanted = arguments.sweeps().any(|sweep| sweep == filled);
        let has_keys = sizes.iter().all(|size| *size >= workers);
        ensure!(
            has_keys || !is_wanted,
            "each worker of {filled} has keys of its own: at least {workers}, please"
        );
    }
    // A file that cannot be read is told of now rather than when all is measured.
    Points::read(&arguments.out)?;
    for sweep in arguments.sweeps() {
        let measured = sweeps::measure(arguments, sweep).await?;
        let mut points = Points::read(&arguments.out)?;
        points.replace(sweep, measured);
        points.write(&arguments.out)?;
    }
    Ok(())
}

fn draw(out: &Path, points: &[Point], sweeps: impl Iterator<Item = Sweep>) -> Result<()> {
    for sweep in sweeps {
        for chart in charts::of(sweep, points) {
            let path = out.join(format!("{}.svg", chart.name));
            std::fs::write(&path, plot::svg(&chart))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}
