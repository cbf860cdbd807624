//! Mutants of good inputs, thrown at every target of `fuzz/` with a compiler that anybody has.
//!
//! Seeded: the same seed makes the same mutants. A short run is part of every test run, a long one of `just fuzz`, which goes on where
//! the one before stopped and counts in `fuzz/executions.tsv`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::fuzz::{TARGETS, Target};

/// Mutants of each target in every test run.
const SHORT: u64 = 10_000;
/// Mutants of each target before a long run counts them.
const ROUND: u64 = 20_000;
/// Mutants of a long run that is not told how many, of all targets together.
const LONG: u64 = 100_000_000;
/// No mutant is longer, bytes.
const LONGEST: usize = 1 << 16;
/// Memory that all of a run may take, bytes: inputs are small, whatever they claim.
const MEMORY: u64 = 384 << 20;

/// What stands in formats, and what a hostile writer would put there.
const WORDS: [&[u8]; 40] = [
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xce\xff\xff\xff\xff",
    b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00",
    b"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc4\x00",
    b"\x90",
    b"\x80",
    b"\xc0",
    b"\x91\x91\x91\x91\x91\x91\x91\x91",
    b"\xd9\x20",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\x00\x00\x00\x80",
    b"\x28\xb5\x2f\xfd",
    b"../",
    b"/../..",
    b".git",
    b"GIT~1",
    b"\x00",
    b"\n",
    b"\r\n",
    b"-",
    b"18446744073709551616",
    b"9223372036854775808",
    b"-1",
    b"1e999",
    b"{\"",
    b"[[[[",
    b"null",
    b"\"\\ud800\"",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"= \"",
    b"[[dataset]]\n",
    b"://",
    b"%00",
];

/// SplitMix64, as `seeded_bytes` of the test support.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Below `n`; 0 where that is 0.
    fn below(&mut self, n: usize) -> usize {
        (self.roll() % n.max(1) as u64) as usize
    }

    /// Two places in so many bytes, in order, and mostly near each other.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = if self.below(4) == 0 { len - start } else { 16.min(len - start) };
        start..start + self.below(most + 1)
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..=self.below(most)).map(|_| self.roll() as u8).collect()
    }
}

/// An input of the corpus with a few changes.
fn mutant(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(4) {
        change(dice, &mut bytes, corpus);
        bytes.truncate(LONGEST);
    }
    bytes
}

fn change(dice: &mut Dice, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let (at, range) = (dice.below(bytes.len()), dice.range(bytes.len()));
    let has_some = !bytes.is_empty();
    match dice.below(11) {
        0 | 1 if has_some => bytes[at] ^= 1 << dice.below(8),
        2 if has_some => bytes[at] = dice.roll() as u8,
        3 if has_some => bytes[at] = bytes[at].wrapping_add([1, 0xff, 0x80][dice.below(3)]),
        4 => bytes.truncate(range.start),
        5 => drop(bytes.drain(range)),
        6 => {
            let again = bytes[range.clone()].repeat(1 + dice.below(3));
            bytes.splice(range.start..range.start, again);
        }
        7 => {
            let more = dice.bytes(12);
            bytes.splice(range, more);
        }
        8 | 9 => {
            let word = WORDS[dice.below(WORDS.len())];
            // In place of as many bytes, or between them.
            let end =
                if dice.below(2) == 0 { (range.start + word.len()).min(bytes.len()) } else { range.start };
            bytes.splice(range.start..end, word.iter().copied());
        }
        _ => {
            let other = &corpus[dice.below(corpus.len())];
            let part = dice.range(other.len());
            bytes.splice(range, other[part].iter().copied());
        }
    }
}

/// What is kept for a target in a folder of `fuzz/`.
fn kept(folder: &str, target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join(target.name);
    let listed = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = listed.map(|entry| entry.expect("listed").path()).collect();
    files.sort();
    let kept: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).expect("readable")).collect();
    assert!(!kept.is_empty(), "{} is empty: `bless_corpora` or fuzz/keep.sh fills it", folder.display());
    kept
}

/// The good inputs of a target.
pub fn corpus_of(target: &Target) -> Vec<Vec<u8>> {
    kept("corpus", target)
}

/// What libFuzzer found to lead elsewhere than those do: taken or refused.
fn reached_of(target: &Target) -> Vec<Vec<u8>> {
    kept("reached", target)
}

/// How many of the mutants were taken.
fn throw(target: &Target, seeds: std::ops::Range<u64>) -> u64 {
    // Half of them are mutants of good inputs, which lead furthest.
    let (good, reached) = (corpus_of(target), reached_of(target));
    let times = 1 + reached.len() / good.len();
    let corpus = [vec![good; times].concat(), reached].concat();
    let name =
        u64::from_le_bytes(*blake3::hash(target.name.as_bytes()).as_bytes().first_chunk().expect("32"));
    let mut taken = 0;
    for seed in seeds {
        let input = mutant(&mut Dice(name ^ seed.wrapping_mul(0x2545_f491_4f6c_dd1d)), &corpus);
        match catch_unwind(AssertUnwindSafe(|| (target.run)(&input))) {
            Ok(outcome) => taken += u64::from(outcome.is_ok()),
            Err(_) => {
                let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{seed}", target.name));
                fs::write(&kept, &input).expect("below target/");
                panic!("mutant {seed} of {} breaks it; it is in {}", target.name, kept.display());
            }
        }
    }
    taken
}

/// The most memory this process ever had, bytes, where it runs one test only.
fn peak() -> Option<u64> {
    std::env::var_os("NEXTEST")?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

/// Little memory was taken, whatever was claimed.
pub fn assert_memory() {
    match peak() {
        Some(peak) => assert!(peak < MEMORY, "{peak} bytes of memory for inputs of {LONGEST}"),
        None => eprintln!("SKIPPED: memory is counted where a test has a process of its own (cargo nextest)"),
    }
}

#[test]
fn good_inputs_are_taken_by_their_targets() {
    for target in &TARGETS {
        for (n, input) in corpus_of(target).iter().enumerate() {
            assert_eq!((target.run)(input), Ok(()), "input {n} of {}", target.name);
        }
    }
}

#[test]
fn what_coverage_led_to_is_taken_or_refused() {
    for target in &TARGETS {
        let (inputs, good) = (reached_of(target), corpus_of(target).len());
        let taken = inputs.iter().filter(|input| (target.run)(input).is_ok()).count();
        println!("{}: {taken} of {} taken, beside {good} good ones", target.name, inputs.len());
        assert!(
            inputs.iter().all(|input| input.len() < LONGEST),
            "{}: git keeps no long inputs",
            target.name
        );
    }
    assert_memory();
}

#[test]
fn mutants_are_taken_or_refused_and_nothing_else() {
    let taken: Vec<(&str, u64)> =
        TARGETS.par_iter().map(|target| (target.name, throw(target, 0..SHORT))).collect();
    for (name, taken) in taken {
        println!("{name}: {taken} of {SHORT} taken");
        // Who refuses everything, or nothing, was not looked into.
        assert!(taken < SHORT, "{name} takes anything");
    }
    assert_memory();
}

fn tally_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/executions.tsv")
}

/// Executions of each target, of all runs so far.
fn tally() -> BTreeMap<String, u64> {
    let text = fs::read_to_string(tally_path()).unwrap_or_default();
    let line = |line: &str| {
        let (name, count) = line.split_once('\t')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

#[test]
#[ignore = "an hour or more: `just fuzz` runs it, and it goes on where the last one stopped"]
fn mutants_by_the_million() {
    let wanted = std::env::var("DATAMON_FUZZ_EXECUTIONS").ok();
    let wanted = wanted.map_or(LONG, |text| text.parse().expect("DATAMON_FUZZ_EXECUTIONS is a number"));
    let mut tally = tally();
    for _ in 0..wanted.div_ceil(ROUND * TARGETS.len() as u64) {
        let from = |target: &Target| tally.get(target.name).copied().unwrap_or(0);
        let rounds: Vec<_> = TARGETS.iter().map(|target| (target, from(target))).collect();
        rounds.par_iter().for_each(|(target, from)| {
            throw(target, *from..from + ROUND);
        });
        for (target, from) in rounds {
            tally.insert(target.name.to_owned(), from + ROUND);
        }
        let mut text = String::new();
        tally.iter().for_each(|(name, count)| writeln!(text, "{name}\t{count}").expect("a string takes all"));
        fs::write(tally_path(), text).expect("the checkout is writable");
    }
    assert_memory();
}
