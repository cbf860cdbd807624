//! The golden transcripts in `fixtures/transcripts`: what git-lfs says, what the agent does, what it answers, in order.
//!
//! `> ` a line of git-lfs, `< ` the line it must get, `# ` a remark, and `= ` what the agent behind the protocol does there:
//! `init`, `upload <path>`, `download` and `finish` are calls (a call that is not in the transcript fails it), each followed
//! by steps: `progress N` · `wait N` milliseconds pass · `ok [path]` · `fail CODE MESSAGE` · `panic MESSAGE`, where `\n`
//! is a line feed and `\e` an escape character.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lfs_agent::{Failure, Init, Object, Transfer, serve_with_clock};

use crate::pipe::{Log, Replies, Requests};

struct Script<'a> {
    steps: VecDeque<String>,
    log: Log,
    now: &'a Cell<u64>,
}

impl Script<'_> {
    fn next(&mut self) -> String {
        let step = self.steps.pop_front().unwrap_or_else(|| "a call the transcript does not have".to_owned());
        self.log.borrow_mut().push(format!("= {step}"));
        step
    }

    fn called(&mut self, call: &str) {
        self.log.borrow_mut().push(format!("= {call}"));
        if self.steps.front().is_some_and(|step| step == call) {
            self.steps.pop_front();
        }
    }

    fn play(&mut self, progress: &mut dyn FnMut(u64)) -> Result<PathBuf, Failure> {
        loop {
            let step = self.next();
            let (verb, rest) = step.split_once(' ').unwrap_or((&step, ""));
            match verb {
                "progress" => progress(rest.parse().expect("bytes")),
                "wait" => self.now.set(self.now.get() + rest.parse::<u64>().expect("milliseconds")),
                "ok" => return Ok(PathBuf::from(rest)),
                "fail" => {
                    let (code, message) = rest.split_once(' ').expect("a code and a message");
                    return Err(Failure::new(code.parse().expect("a code"), unescaped(message)));
                }
                "panic" => std::panic::panic_any(unescaped(rest)),
                _ => return Err(Failure::new(1, "the transcript has no such step")),
            }
        }
    }
}

fn unescaped(message: &str) -> String {
    message.replace("\\n", "\n").replace("\\e", "\u{1b}")
}

impl Transfer for Script<'_> {
    fn init(&mut self, _: &Init) -> Result<(), Failure> {
        self.called("init");
        self.play(&mut |_| ()).map(drop)
    }

    fn upload(&mut self, _: &Object, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), Failure> {
        self.called(&format!("upload {}", path.display()));
        self.play(progress).map(drop)
    }

    fn download(&mut self, _: &Object, progress: &mut dyn FnMut(u64)) -> Result<PathBuf, Failure> {
        self.called("download");
        self.play(progress)
    }

    fn finish(&mut self) {
        self.called("finish");
    }
}

fn replay(transcript: &str) -> Vec<String> {
    let after = |mark: &'static str| transcript.lines().filter_map(move |line| line.strip_prefix(mark));
    let (log, now) = (Log::default(), Cell::new(0));
    let mut script = Script { steps: after("= ").map(str::to_owned).collect(), log: log.clone(), now: &now };
    let requests = Requests::new(after("> ").map(|line| format!("{line}\n").into_bytes()), &log);
    serve_with_clock(requests, Replies::new(&log), &mut script, &|| Duration::from_millis(now.get()))
        .expect("the pipe holds");
    log.take()
}

#[test]
fn every_transcript_is_followed_to_the_letter() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/transcripts");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a directory entry").path();
        let transcript = fs::read_to_string(&path).expect("a transcript");
        let expected = transcript.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let expected = expected.map(str::to_owned).collect::<Vec<_>>();
        let got = replay(&transcript);
        assert!(got == expected, "{}\n--- got\n{}\n---", path.display(), got.join("\n"));
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} transcripts in {}", folder.display());
}
