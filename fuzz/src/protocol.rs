//! The pipe of git-lfs: lines in, and for each of them what keeps both sides in step.

use std::path::{Path, PathBuf};

use lfs_agent::{Failure, Init, Object, Transfer, serve};
use serde_json::Value;

use super::Outcome;

/// Fails every second object.
struct Every {
    calls: usize,
}

impl Every {
    fn next(&mut self, progress: &mut dyn FnMut(u64)) -> Result<PathBuf, Failure> {
        self.calls += 1;
        progress(1);
        match self.calls % 2 {
            0 => Err(Failure::new(1, "every second one".to_owned())),
            _ => Ok(PathBuf::from("/there")),
        }
    }
}

impl Transfer for Every {
    fn init(&mut self, _: &Init) -> Result<(), Failure> {
        Ok(())
    }

    fn upload(&mut self, _: &Object, _: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), Failure> {
        self.next(progress).map(drop)
    }

    fn download(&mut self, _: &Object, progress: &mut dyn FnMut(u64)) -> Result<PathBuf, Failure> {
        self.next(progress)
    }

    fn finish(&mut self) {}
}

/// A session. Every line but a blank one is answered by one line that ends it, progress before; the end of input ends the session.
pub fn session(bytes: &[u8]) -> Outcome {
    let mut said = Vec::new();
    serve(bytes, &mut said, &mut Every { calls: 0 }).map_err(|broken| broken.to_string())?;
    let said = str::from_utf8(&said).expect("replies are UTF-8");
    assert!(said.is_empty() || said.ends_with('\n'), "a torn reply");
    let mut refused = 0;
    let mut ends = 0;
    for line in said.lines() {
        let reply: Value = serde_json::from_str(line).expect("a reply is JSON");
        if reply["event"] != "progress" {
            ends += 1;
            refused += usize::from(reply.get("error").is_some());
        }
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
    assert!(ends <= lines, "{ends} answers to {lines} lines");
    if refused == 0 { Ok(()) } else { Err(format!("{refused} of {lines} lines refused")) }
}
