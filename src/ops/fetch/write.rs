//! Decoded runs into files: small files in parallel, a large one in order with its hash beside it.

use rayon::prelude::*;

use super::decode::Run;
use super::sink::{Open, Sink};
use super::{Decoded, Done, FetchError, Given, Wanted};
use crate::progress::Progress;

/// The file being written in order, over several parts. It holds an error instead once it failed.
struct Current {
    file: usize,
    sink: Result<Sink, FetchError>,
}

/// The last stage of a fetch.
pub struct Writer<'a> {
    files: &'a [Wanted],
    open: Open<'a>,
    progress: &'a dyn Progress,
    done: Done<'a>,
    current: Option<Current>,
}

impl<'a> Writer<'a> {
    /// Nothing is written yet.
    pub fn new(files: &'a [Wanted], open: Open<'a>, progress: &'a dyn Progress, done: Done<'a>) -> Self {
        Writer { files, open, progress, done, current: None }
    }

    /// Write what was decoded.
    pub fn take(&mut self, decoded: Decoded) {
        match decoded {
            Decoded::Whole(runs) => {
                self.close();
                self.whole(runs);
            }
            Decoded::Next(runs) => runs.into_iter().for_each(|(file, run)| self.next(file, run)),
        }
    }

    fn whole(&self, mut runs: Vec<Given>) {
        let files: Vec<&mut [Given]> = runs.chunk_by_mut(|a, b| a.0 == b.0).collect();
        files.into_par_iter().for_each(|runs| {
            let file = &self.files[runs[0].0];
            let write = || {
                let mut sink = (self.open)(file)?;
                for (_, run) in runs {
                    sink.write(&std::mem::replace(run, Ok(Run::default()))?)?;
                }
                sink.finish()
            };
            let result = write();
            self.progress.add(file.size);
            (self.done)(file, result);
        });
    }

    fn next(&mut self, file: usize, run: Result<Run, FetchError>) {
        if self.current.as_ref().is_none_or(|current| current.file != file) {
            self.close();
            self.current = Some(Current { file, sink: (self.open)(&self.files[file]) });
        }
        let Some(Current { sink, .. }) = &mut self.current else { unreachable!("a file is open") };
        let Ok(open) = sink else { return };
        match run.and_then(|run| open.write(&run)) {
            Ok(written) => self.progress.add(written),
            Err(error) => *sink = Err(error),
        }
    }

    /// The file in hand is complete.
    pub fn close(&mut self) {
        if let Some(Current { file, sink }) = self.current.take() {
            (self.done)(&self.files[file], sink.and_then(Sink::finish));
        }
    }
}
