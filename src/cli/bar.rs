//! The progress bar: on a terminal, for work that takes long enough to be looked at.

use std::fmt::{Display, Write};
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::progress::Progress;

/// A bar of bytes; nothing at all where stderr is no terminal.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    retries: Arc<OnceLock<Arc<AtomicU64>>>,
}

impl Bar {
    /// A bar for `total` bytes of `what`; 0 if that is known only later.
    pub fn new(what: &'static str, total: u64, quiet: bool) -> Bar {
        let bar = ProgressBar::new(total);
        let shown = io::stderr().is_terminal() && !quiet;
        bar.set_draw_target(if shown {
            ProgressDrawTarget::stderr_with_hz(8)
        } else {
            ProgressDrawTarget::hidden()
        });
        let style = ProgressStyle::with_template(
            "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}{retries}",
        );
        let retries: Arc<OnceLock<Arc<AtomicU64>>> = Arc::default();
        let seen = retries.clone();
        let shown_retries = move |_: &ProgressState, text: &mut dyn Write| {
            let _ = text.write_str(&so_far(seen.get().map_or(0, |count| count.load(Relaxed))));
        };
        bar.set_style(style.expect("the template is right").with_key("retries", shown_retries));
        bar.set_message(what);
        if shown {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Bar { bar, retries }
    }

    /// Take the bar away: what follows it is a sentence.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn expect(&self, bytes: u64) {
        self.bar.set_length(bytes);
    }

    fn watch(&self, retries: Arc<AtomicU64>) {
        // One transfer, one store: what is told first counts.
        let _ = self.retries.set(retries);
    }
}

/// Nothing while all goes well.
fn so_far(retries: u64) -> String {
    match retries {
        0 => String::new(),
        1 => ", 1 request made again".to_owned(),
        more => format!(", {more} requests made again"),
    }
}

/// So many things as people read it: `1 file`, `2 files`, `3 entries`.
pub fn count<N: Display + PartialEq + From<u8>>(count: N, thing: &str) -> String {
    match thing.strip_suffix('y') {
        _ if count == N::from(1) => format!("1 {thing}"),
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {thing}s"),
    }
}

/// A number of bytes as people read it.
pub fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_several() {
        let said = [count(0u64, "file"), count(1u64, "log entry"), count(2usize, "log entry")];
        assert_eq!(said, ["0 files", "1 log entry", "2 log entries"]);
    }
}
