//! Joins terminal, poller and keys: one loop, which draws when something changed and at most a few times a second.

use super::{
    keys::{Screen, Then},
    lines,
    model::{Model, Sample},
    poller, verbs, view,
};
use crate::{
    interrupt::Interrupt,
    testnet::{
        directory::Directory,
        logs::{self, Names},
    },
};
use anyhow::Context as _;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event},
};
use std::{
    io::Write as _,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Time between draws at least.
const FRAME: Duration = Duration::from_millis(250);
/// The reader of keys looks up so often whether it is still wanted.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// Runs the monitor in the terminal until the user leaves. The terminal is restored in any case, also by a panic.
///
/// # Errors
/// If there is no network, or the terminal cannot be used.
pub async fn run(directory: &Directory, interval: Duration) -> anyhow::Result<()> {
    // Asked once before the screen changes, so that a missing network is an ordinary error.
    let first = poller::sample(directory).await?;
    // Sets a panic hook that restores the terminal.
    let mut terminal = ratatui::try_init().context("cannot use the terminal")?;
    let result = show(&mut terminal, directory, interval, first).await;
    ratatui::try_restore().context("cannot restore the terminal")?;
    result
}

async fn show(
    terminal: &mut DefaultTerminal,
    directory: &Directory,
    interval: Duration,
    first: Sample,
) -> anyhow::Result<()> {
    let (samples_in, mut samples) = mpsc::channel(1);
    let (refresh, refresh_out) = mpsc::channel(1);
    let poller = tokio::spawn(poller::poll(directory.clone(), interval, samples_in, refresh_out));
    let mut keys = keys();
    let (done_in, mut done) = mpsc::channel::<anyhow::Result<String>>(1);
    let mut screen = Screen::default();
    let mut model = Model::of(&first, None);
    let mut before = first;
    let mut drawn = Instant::now();
    let mut told_to_end = Interrupt::new()?;
    terminal.draw(|frame| view::draw(frame, &model, &screen))?;
    loop {
        let mut now = false;
        tokio::select! {
            sample = samples.recv() => match sample {
                Some(Ok(sample)) => {
                    model = Model::of(&sample, Some(&before));
                    before = sample;
                    if screen.log.follow {
                        read_log(&mut screen, directory, &model, &before);
                    }
                }
                Some(Err(error)) => screen.note = format!("{error:#}"),
                None => break,
            },
            key = keys.recv() => {
                let Some(event) = key else { break };
                now = true;
                let Event::Key(key) = event else { continue_draw(terminal, &model, &screen)?; continue };
                match screen.press(key, &model) {
                    Then::Draw => {}
                    Then::Quit => break,
                    // A full channel means that a round is asked for already.
                    Then::Refresh => {
                        let _ = refresh.try_send(());
                    }
                    Then::ReadLog => read_log(&mut screen, directory, &model, &before),
                    Then::Do(verb) => {
                        screen.note = format!("{} ...", verb.question(&model));
                        let (directory, done) = (directory.clone(), done_in.clone());
                        tokio::spawn(async move {
                            let _ = done.send(verbs::perform(&directory, verb).await).await;
                        });
                    }
                }
            }
            Some(result) = done.recv() => {
                now = true;
                screen.note = result.unwrap_or_else(|error| format!("! {error:#}"));
                let _ = refresh.try_send(());
            }
            // Told by a signal, it still leaves the terminal as it was.
            () = told_to_end.heard() => break,
            () = tokio::time::sleep(FRAME) => {}
        }
        if now || drawn.elapsed() >= FRAME {
            continue_draw(terminal, &model, &screen)?;
            drawn = Instant::now();
        }
    }
    poller.abort();
    Ok(())
}

fn continue_draw(
    terminal: &mut DefaultTerminal,
    model: &Model,
    screen: &Screen,
) -> anyhow::Result<()> {
    terminal.draw(|frame| view::draw(frame, model, screen))?;
    Ok(())
}

fn read_log(screen: &mut Screen, directory: &Directory, model: &Model, sample: &Sample) {
    if let Some(node) = model.node(screen.log.node) {
        screen.log.lines = logs::tail(&directory.log(&node.name), &Names::of(&sample.manifest));
        screen.log.up = screen.log.up.min(screen.log.lines.len().saturating_sub(1));
    }
}

/// Reads keys on a thread of its own, because reading waits; it ends with the receiver.
fn keys() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            match event::poll(KEY_WAIT) {
                Ok(true) => {
                    let Ok(event) = event::read() else { return };
                    if sender.blocking_send(event).is_err() {
                        return;
                    }
                }
                Ok(false) => {}
                Err(_) => return,
            }
        }
    });
    receiver
}

/// Prints a line per sample to standard output until interrupted.
///
/// # Errors
/// If there is no network, or standard output is closed.
pub async fn run_lines(
    directory: &Directory,
    interval: Duration,
    json: bool,
) -> anyhow::Result<()> {
    let mut before: Option<Sample> = None;
    loop {
        let sample = poller::sample(directory).await?;
        let model = Model::of(&sample, before.as_ref());
        let line = if json { serde_json::to_string(&model)? } else { lines::line(&model) };
        let mut out = std::io::stdout();
        writeln!(out, "{line}")?;
        out.flush()?;
        before = Some(sample);
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}
