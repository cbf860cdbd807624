//! Which chunk sizes, frame sizes, codecs and bound on borrowing store versioned data best: a simulation of an ingest, and of
//! reads, over datasets as `benches/datasets.py` makes them.
//!
//! ```text
//! cargo run --release --example parameters -- DATA [--only csv,logs] [--averages 16,32] [--frames 256,512]
//!     [--bounds none,16] [--over] [--kinds shared,apart] [--codecs 'shipped zstd:level=3'] [--rounds 3]
//! ```
//! Prints one line of tab-separated values for each dataset, version and setting, and at the end one for each setting over all
//! of them. Sizes are in bytes, times in seconds of processor time of one thread, the least of all rounds (for each frame by
//! itself); averages and frames are given in KiB. The same data gives the same sizes.

mod clock;
mod codec;
mod cut;
mod dataset;
mod layout;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use clock::timed;
use codec::Trial;
use cut::Cuts;
use dataset::Dataset;
use layout::{Rules, Stored};

/// In a pack's footer and in the table of hooks, for each chunk.
const CHUNK_BYTES: usize = 36 + 8;
/// In a pack's footer and before its bytes, for each frame.
const FRAME_BYTES: usize = 12 + 28;
/// In a block of terms, compressed.
const TERM_BYTES: usize = 20;

/// What to try.
#[derive(Parser)]
struct Arguments {
    /// A folder of datasets, each with versions v1, v2, …
    data: PathBuf,
    /// Only these datasets.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Averages of chunks, KiB.
    #[arg(long, value_delimiter = ',', default_value = "16")]
    averages: Vec<u32>,
    /// Raw sizes of frames, KiB.
    #[arg(long, value_delimiter = ',', default_value = "256")]
    frames: Vec<usize>,
    /// Close a frame when it has its size, instead of before it would be larger.
    #[arg(long)]
    over: bool,
    /// Terms a MiB that a recipe may have, or `none`.
    #[arg(long, value_delimiter = ',', default_value = "none")]
    bounds: Vec<String>,
    /// Whether files of different extension share frames: shared, apart.
    #[arg(long, value_delimiter = ',', default_value = "shared")]
    kinds: Vec<String>,
    /// Codecs, as in examples/parameters/codec.rs, with blanks between.
    #[arg(long, value_delimiter = ' ', default_value = "shipped")]
    codecs: Vec<String>,
    /// How often to measure.
    #[arg(long, default_value = "3")]
    rounds: usize,
}

/// What one frame costs.
#[derive(Clone, Copy, Default)]
struct Cost {
    raw: usize,
    stored: usize,
    encode: f64,
    decode: f64,
}

/// How a column is summed up over datasets and versions.
#[derive(Clone, Copy)]
enum Total {
    Sum,
    Most,
    /// Of the last version of each dataset.
    Last,
}

/// After dataset, version and setting: name, decimals, and how it is summed up.
const COLUMNS: [(&str, usize, Total); 15] = [
    ("raw", 0, Total::Sum),
    ("new_raw", 0, Total::Sum),
    ("stored", 0, Total::Sum),
    ("metadata", 0, Total::Sum),
    ("chunks", 0, Total::Sum),
    ("frames", 0, Total::Sum),
    ("terms", 0, Total::Sum),
    ("worst_terms_per_mib", 1, Total::Most),
    ("cut", 4, Total::Sum),
    ("blake3", 4, Total::Sum),
    ("sha256", 4, Total::Sum),
    ("encode", 4, Total::Sum),
    ("decode", 4, Total::Sum),
    ("restore_decode", 4, Total::Last),
    ("restore_stored", 0, Total::Last),
];

/// The figures of one version, or of all, in the order of [`COLUMNS`].
type Figures = [f64; COLUMNS.len()];

#[allow(clippy::print_stdout, clippy::print_stderr)]
fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout)]
fn run(arguments: &Arguments) -> Result<(), String> {
    let mut codecs = arguments.codecs.iter().map(|name| Trial::parse(name)).collect::<Result<Vec<_>, _>>()?;
    let columns = COLUMNS.map(|(name, ..)| name).join("\t");
    println!("dataset\tversion\taverage\tframe\tbound\tkinds\tcodec\t{columns}");
    let mut totals: BTreeMap<String, Figures> = BTreeMap::new();
    let said = |error: std::io::Error| format!("{}: {error}", arguments.data.display());
    for folder in dataset::folders(&arguments.data).map_err(said)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| *only == name) {
            continue;
        }
        let dataset = Dataset::read(&folder).map_err(said)?;
        for average in &arguments.averages {
            let cuts = cut::cut(&dataset, average << 10, arguments.rounds);
            for (label, rules) in settings(arguments)? {
                let stored = layout::lay_out(&dataset, &cuts, rules);
                for codec in &mut codecs {
                    let costs = measure(&dataset, &stored, codec, arguments.rounds);
                    let setting = format!("{average}\t{label}\t{}", codec.name);
                    for version in 0..stored.len() {
                        let figures = figures(version, &dataset, &cuts, &stored, &costs);
                        println!("{name}\tv{}\t{setting}\t{}", version + 1, line(&figures));
                        let total = totals.entry(setting.clone()).or_insert([0.0; COLUMNS.len()]);
                        add(total, &figures, version + 1 == stored.len());
                    }
                }
            }
        }
    }
    totals.iter().for_each(|(setting, total)| println!("all\tall\t{setting}\t{}", line(total)));
    Ok(())
}

fn add(total: &mut Figures, figures: &Figures, last: bool) {
    for ((total, figure), (.., how)) in total.iter_mut().zip(figures).zip(COLUMNS) {
        match how {
            Total::Sum => *total += figure,
            Total::Most => *total = total.max(*figure),
            Total::Last => *total += if last { *figure } else { 0.0 },
        }
    }
}

fn line(figures: &Figures) -> String {
    let cell = |(figure, (_, decimals, _)): (&f64, _)| format!("{figure:.decimals$}");
    figures.iter().zip(COLUMNS).map(cell).collect::<Vec<_>>().join("\t")
}

/// Every combination of frame, bound and kinds, with its columns.
fn settings(arguments: &Arguments) -> Result<Vec<(String, Rules)>, String> {
    let mut settings = Vec::new();
    for frame in &arguments.frames {
        for bound in &arguments.bounds {
            for kinds in &arguments.kinds {
                let terms = match bound.as_str() {
                    "none" => None,
                    bound => Some(bound.parse().map_err(|_| format!("{bound}: a number of terms, or none"))?),
                };
                let rules = Rules {
                    frame: frame << 10,
                    over: arguments.over,
                    bound: terms,
                    by_kind: kinds == "apart",
                };
                settings.push((format!("{frame}\t{bound}\t{kinds}"), rules));
            }
        }
    }
    Ok(settings)
}

/// The cost of every frame of every version.
fn measure(dataset: &Dataset, stored: &[Stored], codec: &mut Trial, rounds: usize) -> Vec<Vec<Cost>> {
    let mut raw = Vec::new();
    let mut version = |(version, stored): (usize, &Stored)| {
        let mut frame = |frame: &Vec<layout::Span>| {
            layout::assemble(dataset, version, frame, &mut raw);
            let mut cost = Cost { raw: raw.len(), stored: 0, encode: f64::MAX, decode: f64::MAX };
            for _ in 0..rounds {
                let (encode, encoded) = timed(|| codec.encode(&raw));
                let (decode, decoded) = timed(|| codec.decode(&encoded, &raw));
                assert!(decoded == raw, "{} does not give back what it was given", codec.name);
                cost.stored = encoded.map_or(raw.len(), |(_, stored)| stored.len());
                (cost.encode, cost.decode) = (cost.encode.min(encode), cost.decode.min(decode));
            }
            cost
        };
        stored.frames.iter().map(&mut frame).collect()
    };
    stored.iter().enumerate().map(&mut version).collect()
}

fn figures(
    version: usize,
    dataset: &Dataset,
    cuts: &Cuts,
    stored: &[Stored],
    costs: &[Vec<Cost>],
) -> Figures {
    let (cut, own, frames) = (&cuts.versions[version], &stored[version], &costs[version]);
    let raw: usize = dataset.versions[version].iter().map(|file| file.bytes.len()).sum();
    let metadata = own.chunks * CHUNK_BYTES + frames.len() * FRAME_BYTES + own.terms * TERM_BYTES;
    let touched = own.touched.iter().map(|(version, frame)| &costs[*version][*frame as usize]);
    [
        raw as f64,
        frames.iter().map(|cost| cost.raw).sum::<usize>() as f64,
        frames.iter().map(|cost| cost.stored).sum::<usize>() as f64,
        metadata as f64,
        own.chunks as f64,
        frames.len() as f64,
        own.terms as f64,
        own.worst,
        cut.cut,
        cut.blake3,
        cut.sha256,
        frames.iter().map(|cost| cost.encode).sum(),
        frames.iter().map(|cost| cost.decode).sum(),
        touched.clone().map(|cost| cost.decode).sum(),
        touched.map(|cost| cost.stored).sum::<usize>() as f64,
    ]
}
