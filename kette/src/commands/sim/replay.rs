//! `kette sim replay`: what led to an event of a run, and all nodes there; or a real node's recording.

use super::{
    interrupt,
    progress::Progress,
    recording,
    source::{Setting, Source, config_hash},
    state, trace, words,
};
use crate::commands::{exit::Exit, output};
use anyhow::bail;
use clap::Args;
use kette_sim::run::{Run, RunOptions};
use serde_json::json;
use std::{
    collections::VecDeque,
    fs::File,
    io::{IsTerminal as _, Read as _, Write as _},
    path::Path,
    sync::atomic::Ordering,
};

/// Flags of `kette sim replay`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ReplayArgs {
    #[command(flatten)]
    setting: Setting,
    /// The seed; the file's own if absent.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Stops after this event; at the end or at a violation if absent.
    #[arg(long, value_name = "E")]
    until_event: Option<u64>,
    /// Shows everything from this event on, instead of the last 200 lines.
    #[arg(long, value_name = "B")]
    from_event: Option<u64>,
    /// Shows everything from the beginning.
    #[arg(long, conflicts_with = "from_event")]
    trace: bool,
}

impl ReplayArgs {
    /// Names the flags that were given.
    fn flags(&self) -> impl Iterator<Item = &'static str> {
        let own = [
            ("--seed", self.seed.is_some()),
            ("--until-event", self.until_event.is_some()),
            ("--from-event", self.from_event.is_some()),
            ("--trace", self.trace),
        ];
        own.into_iter()
            .filter_map(|(name, given)| given.then_some(name))
            .chain(self.setting.flags())
    }
}

const EXAMPLES: &str = "\
Examples:
  kette sim replay my.toml --seed 7 --until-event 123456        the last 200 lines, and all nodes
  kette sim replay swarm --seed 7 --from-event 120000 --until-event 123456
  kette sim replay node0.rec                                    a recording of `kette node --record`";

/// Lines shown if nothing else is asked for.
const LAST: usize = 200;
/// Events looked at for the last lines, if the last event is known.
const LOOK_BACK: u64 = 20_000;
/// Events between two looks at whether to stop.
const SLICE: u64 = 5_000;

/// Carries out `kette sim replay`.
///
/// # Errors
/// If the network cannot be used, or a checker objects.
pub fn run(args: &ReplayArgs, json: bool) -> anyhow::Result<()> {
    let path = Path::new(&args.setting.source);
    if is_recording(path) {
        let flags: Vec<&str> = args.flags().collect();
        if !flags.is_empty() {
            let (name, flags) = (path.display(), flags.join(", "));
            bail!("{name} is a recording of a node, which is replayed as it is: leave out {flags}");
        }
        return recording::run(path, json);
    }
    if let (Some(from), Some(until)) = (args.from_event, args.until_event)
        && from > until
    {
        bail!("--from-event {from} comes after --until-event {until}");
    }
    let source = Source::load(&args.setting)?;
    let seed = args.seed.unwrap_or_else(|| source.default_seed());
    let scenario = source.scenario(seed)?;
    let mut run = Run::new(&scenario, &RunOptions { seed, ..RunOptions::default() })?;
    let mut replay = Replay {
        stop: interrupt::flag()?,
        progress: Progress::new(false),
        until: args.until_event.unwrap_or(u64::MAX),
        more: true,
    };
    let first = match (args.trace, args.from_event, args.until_event) {
        (true, ..) => 0,
        (_, Some(from), _) => from,
        (_, _, Some(until)) => until.saturating_sub(LOOK_BACK),
        (_, None, None) => 0,
    };
    replay.skip(&mut run, first);
    let width = if std::io::stdout().is_terminal() { trace::terminal_width() } else { None };
    let mut reader = trace::Reader::new(&mut run, Box::new(output::stdout()), width);
    let keep = if args.trace || args.from_event.is_some() { usize::MAX } else { LAST };
    let lines = replay.watch(&mut run, &mut reader, json, keep)?;
    replay.progress.clear();

    let event = run.world.trace().events;
    let nodes = state::of(&run.world);
    let at = run.world.now().as_micros() as f64 / 1e6;
    // A judge of the whole run speaks when nothing comes after this event.
    if run.world.violations().is_empty() && replay.more && !replay.is_stopped() {
        replay.more = run.advance(1);
    }
    let violations = run.world.violations();
    if json {
        let value = json!({
            "schema": "kette-sim-replay",
            "schema_version": 1,
            "commit": words::COMMIT,
            "seed": seed,
            "config_hash": config_hash(&scenario),
            "event": event,
            "ended": !replay.more,
            "at_seconds": at,
            "trace": lines,
            "nodes": nodes,
            "violations": violations,
        });
        output::print(&value, true)?;
    } else {
        let mut out = output::stdout().lock();
        writeln!(out, "\nseed {seed}, event {event}, {at:.6} s virtual")?;
        let wanted = args.until_event.or(args.from_event).filter(|wanted| *wanted > event);
        if let Some(wanted) = wanted.filter(|_| !replay.is_stopped()) {
            writeln!(
                out,
                "the run has {}: it ends before {wanted}",
                words::counted(event, "event")
            )?;
        }
        drop(out);
        state::print(&nodes)?;
        let mut out = output::stdout().lock();
        for violation in violations {
            let (checker, what, event) = (violation.checker, &violation.what, violation.event);
            writeln!(out, "\nVIOLATION of {checker} at event {event}: {what}")?;
        }
    }
    match violations.len() {
        _ if replay.is_stopped() => Err(Exit::Interrupted("interrupted".to_owned()).into()),
        0 if !json => Ok(writeln!(output::stdout(), "\nno violation up to here")?),
        0 => Ok(()),
        count => Err(Exit::Unsafe(words::counted(count as u64, "violation")).into()),
    }
}

/// Decides by the file's first bytes.
fn is_recording(path: &Path) -> bool {
    let mut first = [0; kette_sim::recording::MAGIC.len()];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut first).is_ok())
        && kette_sim::recording::is_recording(&first)
}

struct Replay {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    progress: Progress,
    until: u64,
    more: bool,
}

impl Replay {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Goes to just before an event without listening: nobody reads that, and words cost time.
    fn skip(&mut self, run: &mut Run, first: u64) {
        loop {
            let missing = first.saturating_sub(1).saturating_sub(run.world.trace().events);
            if missing == 0 || !self.more || self.is_stopped() {
                return;
            }
            self.more = run.advance(missing.min(SLICE));
            let at = run.world.trace().events;
            self.progress.draw(&format!("event {at} of {first}"));
        }
    }

    /// Goes on to the end, listening. Prints all lines as they come, or returns the last ones for `--json`.
    fn watch(
        &mut self,
        run: &mut Run,
        reader: &mut trace::Reader,
        json: bool,
        keep: usize,
    ) -> anyhow::Result<Vec<String>> {
        let direct = !json && keep == usize::MAX;
        let mut last: VecDeque<String> = VecDeque::new();
        let mut out = output::stdout().lock();
        if !json {
            self.progress.clear();
            writeln!(out, "{}", reader.head())?;
        }
        let mut steps = 0_u64;
        while self.more && run.world.trace().events < self.until && !self.is_stopped() {
            self.more = run.advance(1);
            for line in reader.read(run) {
                if direct {
                    writeln!(out, "{line}")?;
                    continue;
                }
                if last.len() >= keep.min(TRACE_MAX) {
                    last.pop_front();
                }
                last.push_back(line);
            }
            steps += 1;
            if !direct && steps.is_multiple_of(SLICE) {
                let at = run.world.trace().events;
                self.progress.draw(&format!("event {at}, {:.0} %", run.progress() * 100.0));
            }
        }
        self.progress.clear();
        if json {
            return Ok(last.into());
        }
        for line in last {
            writeln!(out, "{line}")?;
        }
        Ok(Vec::new())
    }
}

/// Lines that one JSON document holds at most.
const TRACE_MAX: usize = 1_000_000;
