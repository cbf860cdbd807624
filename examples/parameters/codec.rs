//! Codecs on trial: `raw`, `shipped` (what the library does), `zstd[:key=value,…]` and `lanes[:key=value,…]`.
//!
//! The last two always try, and keep what saves a sixteenth. `lanes` groups the bytes by their place in words of `width` bytes
//! (2, 4 or 8; 4 if nothing is said) and compresses each lane by itself, or, with `split=0`, all lanes at once. The other keys
//! are zstd's: `level` (1 if nothing is said), `hash`, `chain` and `search` (log2), `match` (least length), `target`,
//! `strategy` (1 fast, 2 dfast, 3 greedy, 4 lazy), `window` (log2).

use datamon::chunk::{Codec, compress, decompress};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, Strategy};

/// Kept while it saves one part in this many, as the library does.
const WORTH: usize = 16;

/// A way to store frames.
pub struct Trial {
    /// As asked for.
    pub name: String,
    form: Form,
    zstd: Compressor<'static>,
    back: Decompressor<'static>,
}

#[derive(Clone, Copy)]
enum Form {
    Raw,
    Shipped,
    /// Words of so many bytes, each lane by itself or not; 1 for the bytes as they are.
    Lanes(usize, bool),
}

/// A frame as stored; `None` as it is.
pub type Stored = Option<(Codec, Vec<u8>)>;

impl Trial {
    /// The codec of this name.
    pub fn parse(name: &str) -> Result<Trial, String> {
        let (kind, options) = name.split_once(':').unwrap_or((name, ""));
        let form = match kind {
            "raw" => Form::Raw,
            "shipped" => Form::Shipped,
            "zstd" => Form::Lanes(1, true),
            "lanes" => Form::Lanes(4, true),
            _ => return Err(format!("no codec is called {kind}: raw, shipped, zstd or lanes")),
        };
        let failed = |error: std::io::Error| format!("{name}: {error}");
        let zstd = Compressor::new(1).map_err(failed)?;
        let back = Decompressor::new().map_err(failed)?;
        let mut trial = Trial { name: name.to_owned(), form, zstd, back };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').ok_or(format!("{option}: key=value is wanted"))?;
            let value = value.parse().map_err(|_| format!("{option}: a number is wanted"))?;
            trial.set(key, value)?;
        }
        Ok(trial)
    }

    fn set(&mut self, key: &str, value: i32) -> Result<(), String> {
        let number = value.unsigned_abs();
        let parameter = match (key, self.form) {
            ("width", Form::Lanes(_, split)) if [2, 4, 8].contains(&value) => {
                self.form = Form::Lanes(number as usize, split);
                return Ok(());
            }
            ("split", Form::Lanes(width, _)) => {
                self.form = Form::Lanes(width, value != 0);
                return Ok(());
            }
            ("level", _) => CParameter::CompressionLevel(value),
            ("window", _) => CParameter::WindowLog(number),
            ("hash", _) => CParameter::HashLog(number),
            ("chain", _) => CParameter::ChainLog(number),
            ("search", _) => CParameter::SearchLog(number),
            ("match", _) => CParameter::MinMatch(number),
            ("target", _) => CParameter::TargetLength(number),
            ("strategy", _) => CParameter::Strategy(match value {
                1 => Strategy::ZSTD_fast,
                2 => Strategy::ZSTD_dfast,
                3 => Strategy::ZSTD_greedy,
                _ => Strategy::ZSTD_lazy,
            }),
            _ => return Err(format!("{} has no {key}={value}", self.name)),
        };
        self.zstd.set_parameter(parameter).map_err(|error| format!("{key}: {error}"))
    }

    /// The stored form of a frame.
    pub fn encode(&mut self, raw: &[u8]) -> Stored {
        let (width, split) = match self.form {
            Form::Raw => return None,
            Form::Shipped => return compress(raw, |codec, stored| (codec, stored.to_vec())),
            Form::Lanes(width, split) => (width, split),
        };
        let codec = Codec::from_byte(width as u8)?;
        let mut stored = Vec::new();
        let mut append =
            |bytes: &[u8]| stored.extend(self.zstd.compress(bytes).expect("zstd compresses all"));
        if width == 1 {
            append(raw);
        } else {
            let lanes = group(width, raw);
            let lane = if split { raw.len().div_ceil(width) } else { raw.len() };
            lanes.chunks(lane.max(1)).for_each(append);
        }
        (stored.len() + raw.len().div_ceil(WORTH) <= raw.len()).then_some((codec, stored))
    }

    /// The raw bytes again; `raw` are those of a frame stored as it is, which costs a copy.
    pub fn decode(&mut self, stored: &Stored, raw: &[u8]) -> Vec<u8> {
        match stored {
            None => raw.to_vec(),
            Some((Codec::Zstd, stored)) => {
                self.back.decompress(stored, raw.len()).expect("it was compressed here")
            }
            Some((codec, stored)) => {
                decompress(*codec, stored, raw.len()).expect("it was compressed here").into_owned()
            }
        }
    }
}

/// As the library groups them; what is left over goes last.
fn group(width: usize, raw: &[u8]) -> Vec<u8> {
    let whole = raw.len() / width * width;
    let lane = |at: usize| raw[..whole].iter().skip(at).step_by(width);
    (0..width).flat_map(lane).chain(&raw[whole..]).copied().collect()
}
