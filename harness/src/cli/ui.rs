//! What a person sees while a run goes on: one collapsing line per guest on a terminal, one plain
//! line per fact elsewhere. Everything goes to standard error; standard output is for results.

use crate::{
    bundle::Progress,
    lock::LockedFile,
    record::Outcome,
    run::{Event, Guest, Running, StopReason},
    store::FetchProgress,
    text::{self, counted},
    units::show_bytes,
};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::{
    collections::{BTreeMap, HashMap},
    env,
    io::{self, IsTerminal as _, Write as _},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How much to draw. Decided once, by a function that is given the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// Lines that change in place.
    Live,
    /// One line per fact.
    Plain,
}

impl Drawing {
    /// For this process's standard error, unless `plain` lines are asked for.
    #[must_use]
    pub fn of_stderr(plain: bool) -> Drawing {
        let is_ci = env::var_os("CI").is_some();
        // A terminal without a name, or a dumb one, cannot go back in a line.
        let can_draw = env::var_os("TERM").is_some_and(|term| term != "dumb" && !term.is_empty());
        Drawing::choose(io::stderr().is_terminal() && can_draw, is_ci, plain)
    }

    /// Live on a terminal that can draw and is not told otherwise.
    #[must_use]
    pub fn choose(can_draw: bool, is_ci: bool, plain: bool) -> Drawing {
        if can_draw && !is_ci && !plain {
            Drawing::Live
        } else {
            Drawing::Plain
        }
    }
}

/// The run as it is drawn.
pub struct Ui {
    drawing: Drawing,
    bars: MultiProgress,
    overall: Option<ProgressBar>,
    guests: HashMap<Guest, (ProgressBar, Instant)>,
    /// How long each guest took, in seconds, for the next run's expectations.
    pub took_s: BTreeMap<String, f64>,
    finished: usize,
    /// Cells of a run, or boots of a session.
    cells: usize,
    in_session: bool,
}

impl Ui {
    /// Draws nothing yet.
    #[must_use]
    pub fn new(drawing: Drawing) -> Ui {
        Ui {
            drawing,
            bars: MultiProgress::new(),
            overall: None,
            guests: HashMap::new(),
            took_s: BTreeMap::new(),
            finished: 0,
            cells: 0,
            in_session: false,
        }
    }

    /// From now on so many cells are awaited.
    pub fn expect(&mut self, cells: usize) {
        self.finished = 0;
        self.cells = cells;
    }

    /// One line that stays.
    pub fn line(&self, text: &str) {
        say(self.drawing, &self.bars, text);
    }

    /// What says a line from any thread, between this one's lines.
    pub fn teller(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let (drawing, bars) = (self.drawing, self.bars.clone());
        move |text| say(drawing, &bars, text)
    }

    /// A drawing of downloads that shares this one's lines.
    #[must_use]
    pub fn downloads(&self) -> Downloads {
        self.files("fetching")
    }

    /// The same of what is sent.
    #[must_use]
    pub fn uploads(&self) -> Downloads {
        self.files("sending")
    }

    fn files(&self, doing: &'static str) -> Downloads {
        Downloads {
            doing,
            drawing: self.drawing,
            bars: self.bars.clone(),
            files: Mutex::default(),
            bytes: AtomicU64::new(0),
        }
    }

    /// A drawing of an image that is written or read, which shares this one's lines.
    #[must_use]
    pub fn transfers(&self, doing: &'static str) -> Transfers {
        Transfers {
            drawing: self.drawing,
            bars: self.bars.clone(),
            doing,
            bar: Mutex::default(),
        }
    }

    /// Takes in one event.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted {
                run_id,
                lane,
                cells,
                cached,
                settled,
                jobs,
                samples,
            } => {
                let mut text = format!("{run_id}: {} ({lane})", counted(*cells, "cell"));
                match samples {
                    None => text.push_str(&format!("; {cached} in the cache")),
                    Some([boots, known]) => {
                        let boots = counted(*boots, "boot");
                        text.push_str(&format!("; {known} of {boots} measured before"));
                    }
                }
                let (all, finished, what) = match samples {
                    None => (*cells, cached + settled, "cells"),
                    Some([boots, known]) => (*boots, *known, "boots"),
                };
                self.cells = all;
                self.finished = finished;
                let todo = all - finished;
                if *settled > 0 {
                    text.push_str(&format!(", {settled} will not run"));
                }
                if todo > 0 {
                    text.push_str(&format!(", {todo} to measure, {jobs} at once"));
                }
                self.line(&text);
                self.in_session = samples.is_some();
                if self.drawing == Drawing::Live && todo > 0 {
                    let style = ProgressStyle::with_template(&format!(
                        "{{bar:30}} {{pos}}/{{len}} {what}, {{elapsed}} elapsed"
                    ));
                    let bar = ProgressBar::new(all as u64)
                        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                    let bar = self.bars.add(bar);
                    bar.set_position(self.finished as u64);
                    bar.enable_steady_tick(Duration::from_millis(250));
                    self.overall = Some(bar);
                }
            }
            Event::Note { text } => self.line(&format!("note: {text}")),
            Event::GuestStarted {
                guest, expected_s, ..
            } => self.start(guest, *expected_s),
            Event::Progress {
                guest,
                phase,
                detail,
            } => {
                if let Some((bar, _)) = self.guests.get(guest) {
                    bar.set_message(text::cut(&text::line(&format!(
                        "{} {detail}",
                        phase.word()
                    ))));
                }
            }
            Event::CheckpointReady {
                kernel,
                cached,
                wall_s,
                cpu_s,
                ..
            } => {
                let boot = Guest::Boot {
                    kernel: kernel.clone(),
                };
                self.end(&boot, (!cached).then(|| boot.to_string()));
                self.line(&if *cached {
                    format!("{kernel}: checkpoint found")
                } else {
                    format!(
                        "{kernel}: booted to its checkpoint in {wall_s:.1} s ({cpu_s:.1} CPU-s)"
                    )
                });
            }
            // The note that follows says it.
            Event::CheckpointNotSaved { kernel, .. } => {
                let boot = Guest::Boot {
                    kernel: kernel.clone(),
                };
                self.end(&boot, Some(boot.to_string()));
            }
            Event::CheckpointFailed {
                kernel,
                outcome,
                why,
            } => {
                let boot = Guest::Boot {
                    kernel: kernel.clone(),
                };
                self.end(&boot, None);
                self.line(&format!("{kernel}: {outcome}: {why}"));
            }
            Event::CellFinished { result } => {
                // What failed at once says nothing of the next time.
                let measured = matches!(result.outcome, Outcome::Measured(_));
                if self.in_session {
                    // Its boots have been told of.
                    return;
                }
                let timed_as = measured.then(|| result.key.timed_as());
                self.end(&Guest::cell(&result.key, None), timed_as);
                let count = self.count();
                match &result.outcome {
                    Outcome::Measured(m) if self.drawing == Drawing::Plain => self.line(&format!(
                        "{count} {}: measured in {:.1} s ({:.1} CPU-s)",
                        result.key, m.host.wall_s, m.host.cpu_s
                    )),
                    Outcome::Measured(_) => {}
                    other => {
                        self.line(&format!(
                            "{count} {}: {}: {}",
                            result.key,
                            other.word(),
                            other.why()
                        ));
                    }
                }
            }
            Event::SampleFinished { sample } => {
                let measured = matches!(sample.outcome, Outcome::Measured(_));
                let timed_as = measured.then(|| sample.key.timed_as());
                self.end(&Guest::cell(&sample.key, Some(sample.at)), timed_as);
                let count = self.count();
                // A failure's note follows.
                if let (Outcome::Measured(m), Drawing::Plain) = (&sample.outcome, self.drawing) {
                    self.line(&format!(
                        "{count} {}, {}: measured in {:.1} s ({:.1} CPU-s)",
                        sample.key, sample.at, m.host.wall_s, m.host.cpu_s
                    ));
                }
            }
            Event::CellVerified {
                cell, differences, ..
            } => {
                for difference in differences {
                    self.line(&format!("{cell}: differs: {difference}"));
                }
            }
            Event::Stopping { why, guests } => {
                let mut text = format!("stopping: {why}; {guests}");
                if (*why, *guests) == (StopReason::Interrupted, Running::Finish) {
                    text.push_str(" (press Ctrl-C again to kill the guests)");
                }
                self.line(&text);
            }
            Event::RunFinished { measured, cells } => {
                if let Some(bar) = self.overall.take() {
                    bar.finish_and_clear();
                }
                self.line(&format!(
                    "{measured} of {} measured",
                    counted(*cells, "cell")
                ));
            }
        }
    }

    /// One more is finished: how many of how many.
    fn count(&mut self) -> String {
        self.finished += 1;
        if let Some(bar) = &self.overall {
            bar.set_position(self.finished as u64);
        }
        format!("[{}/{}]", self.finished, self.cells)
    }

    fn start(&mut self, guest: &Guest, expected_s: Option<f64>) {
        if self.drawing == Drawing::Plain {
            if let Guest::Boot { .. } = guest {
                self.line(&format!("{guest} ..."));
            }
            self.guests
                .insert(guest.clone(), (ProgressBar::hidden(), Instant::now()));
            return;
        }
        let of = expected_s.map_or(String::new(), |s| format!(" of about {s:.0}s"));
        let style = ProgressStyle::with_template(&format!(
            "  {{spinner}} {guest:<28} {{elapsed}}{of}  {{msg}}"
        ));
        let bar = ProgressBar::new_spinner()
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let bar = match &self.overall {
            Some(overall) => self.bars.insert_before(overall, bar),
            None => self.bars.add(bar),
        };
        bar.enable_steady_tick(Duration::from_millis(120));
        self.guests.insert(guest.clone(), (bar, Instant::now()));
    }

    /// `timed_as` is the name under which the time it took is kept, if it is.
    fn end(&mut self, guest: &Guest, timed_as: Option<String>) {
        if let Some((bar, began)) = self.guests.remove(guest) {
            bar.finish_and_clear();
            self.took_s
                .extend(timed_as.map(|name| (name, began.elapsed().as_secs_f64())));
        }
    }
}

fn say(drawing: Drawing, bars: &MultiProgress, text: &str) {
    // Out of scenarios, archives and guests.
    let text = &*text::lines(text);
    match drawing {
        Drawing::Live => {
            // Where nothing is drawn, a line would vanish without an error.
            if bars.is_hidden() || bars.println(text).is_err() {
                to_stderr(text);
            }
        }
        Drawing::Plain => to_stderr(text),
    }
}

/// A closed standard error must not end a run.
fn to_stderr(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Bytes of an image as they go by.
pub struct Transfers {
    drawing: Drawing,
    bars: MultiProgress,
    doing: &'static str,
    bar: Mutex<Option<ProgressBar>>,
}

impl Progress for Transfers {
    fn started(&self, what: &str, bytes: u64) {
        let text = format!("{} {what}", self.doing);
        if self.drawing == Drawing::Plain {
            say(
                self.drawing,
                &self.bars,
                &format!("{text} ({})", show_size(bytes)),
            );
            return;
        }
        let style = ProgressStyle::with_template(
            "  {bar:20} {bytes:>10} of {total_bytes:<10} {bytes_per_sec:>12}  {msg}",
        );
        let bar = ProgressBar::new(bytes)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_message(text::line(&text));
        if let Ok(mut drawn) = self.bar.lock() {
            *drawn = Some(self.bars.add(bar));
        }
    }

    fn advanced(&self, bytes: u64) {
        if let Ok(drawn) = self.bar.lock()
            && let Some(bar) = &*drawn
        {
            bar.inc(bytes);
        }
    }

    fn finished(&self) {
        if let Ok(mut drawn) = self.bar.lock()
            && let Some(bar) = drawn.take()
        {
            bar.finish_and_clear();
        }
    }
}

/// Downloads as they are drawn.
pub struct Downloads {
    /// `fetching`, `sending`
    doing: &'static str,
    drawing: Drawing,
    bars: MultiProgress,
    files: Mutex<HashMap<String, ProgressBar>>,
    bytes: AtomicU64,
}

impl Downloads {
    /// Bytes downloaded so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl FetchProgress for Downloads {
    fn started(&self, file: &LockedFile) {
        let name = format!("{} {}", file.package, file.version);
        if self.drawing == Drawing::Plain {
            say(
                self.drawing,
                &self.bars,
                &format!("{} {name} ({})", self.doing, show_size(file.size)),
            );
            return;
        }
        let style = ProgressStyle::with_template(
            "  {bar:20} {bytes:>10} of {total_bytes:<10} {bytes_per_sec:>12}  {msg}",
        );
        let bar = ProgressBar::new(file.size)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_message(text::line(&name));
        if let Ok(mut files) = self.files.lock() {
            files.insert(file.path.clone(), self.bars.add(bar));
        }
    }

    fn advanced(&self, file: &LockedFile, bytes: u64) {
        if let Ok(files) = self.files.lock()
            && let Some(bar) = files.get(&file.path)
        {
            bar.set_position(bytes);
        }
    }

    fn finished(&self, file: &LockedFile) {
        self.bytes.fetch_add(file.size, Ordering::Relaxed);
        if let Ok(mut files) = self.files.lock()
            && let Some(bar) = files.remove(&file.path)
        {
            bar.finish_and_clear();
        }
    }

    fn note(&self, text: &str) {
        say(self.drawing, &self.bars, &format!("note: {text}"));
    }
}

fn show_size(bytes: u64) -> String {
    if bytes < 1 << 20 {
        show_bytes(bytes >> 10 << 10)
    } else {
        format!("{} MiB", bytes >> 20)
    }
}
