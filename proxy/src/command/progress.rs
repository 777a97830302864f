//! Progress of long work, on standard error: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// All bars of the program: log lines are written above them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// How often a plain line may appear.
const EVERY: Duration = Duration::from_secs(2);

/// Some work in progress. Ends when it's dropped.
#[derive(Debug)]
pub struct Work {
    shown: Shown,
    started: Instant,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines { last: Mutex<(Instant, String)> },
}

impl Work {
    /// Starts to show it under a name, for example `provisioning`.
    #[must_use]
    pub fn start(name: &str) -> Self {
        let started = Instant::now();
        if !std::io::stderr().is_terminal() {
            eprintln!("{name} ...");
            return Self {
                shown: Shown::Lines {
                    last: Mutex::new((started, String::new())),
                },
                started,
            };
        }
        let bar = BARS.add(ProgressBar::new_spinner());
        bar.set_prefix(name.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {wide_msg} {elapsed}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self {
            shown: Shown::Bar(bar),
            started,
        }
    }

    /// `done` steps of `total` (0: nobody knows) are done, the current one is `what`.
    pub fn step(&self, what: &str, done: u64, total: u64) {
        match &self.shown {
            Shown::Bar(bar) => {
                if total > 0 && bar.length() != Some(total) {
                    bar.set_length(total);
                    if let Ok(style) = ProgressStyle::with_template(
                        "{spinner} {prefix}: [{bar:24}] {pos}/{len} {wide_msg} {elapsed}",
                    ) {
                        bar.set_style(style.progress_chars("=> "));
                    }
                }
                bar.set_position(done);
                bar.set_message(what.to_owned());
            }
            Shown::Lines { last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.0.elapsed() >= EVERY && last.1 != what {
                    *last = (Instant::now(), what.to_owned());
                    if total > 0 {
                        eprintln!("  {done}/{total} {what}")
                    } else {
                        eprintln!("  {what}")
                    }
                }
            }
        }
    }

    /// It's done; `result` is one line that stays.
    pub fn finish(self, result: &str) {
        let elapsed = self.started.elapsed();
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
        BARS.suspend(|| eprintln!("{result} ({:.1} s)", elapsed.as_secs_f64()));
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

/// Standard error for whole lines, written above the bars that are shown.
#[derive(Debug, Default)]
pub struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        BARS.suspend(|| std::io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
