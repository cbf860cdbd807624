//! In which form a frame shrinks most, and that form.
//!
//! A *form* is the width of the words whose lanes are compressed (1: the bytes as they are), and for each lane whether
//! matches are looked for. Lanes of exponents hold few different bytes without order: their short chance matches cost more
//! than coding each byte by how often it comes, and finding them takes time on both ways.

use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::Codec;
use super::lanes;

/// zstd level. For frames of up to 256 KiB it looks for matches from 6 bytes on with a table of 64 KiB, which stays in the
/// cache. Level 2 takes a third more time for 0.4 % less; level 3 still more, and gains nothing on frames of this size.
const LEVEL: i32 = 1;
/// log2 of the entries of the table of matches where none should be found; the least that zstd takes.
const NO_MATCHES: u32 = 6;
/// Compression is kept while it saves at least one part in this many.
const WORTH: usize = 16;
/// Frames below this size are compressed as they are, without a sample.
const SAMPLE_FROM: usize = 32 << 10;
/// Bytes of the sample: half of them from the beginning of the frame, half from its middle.
const SAMPLE: usize = 8 << 10;
/// A sample that saves less than one part in this many is taken for incompressible.
const FLAT: usize = 32;
/// A sample that shrinks below this many hundredths does so by matches, which words would break …
const TEXT: usize = 70;
/// … unless one byte in this many is the same eight bytes on, as the upper bytes of whole numbers are.
const ALIKE: usize = 3;
/// Words have to be better than plain bytes by one part in this many; where there are matches, which a sample sees too few of,
/// by one in [`MARGIN_OF_TEXT`].
const MARGIN: usize = 50;
/// See [`MARGIN`].
const MARGIN_OF_TEXT: usize = 8;

/// What compression needs again and again.
pub struct Encoder {
    matching: Compressor<'static>,
    counting: Compressor<'static>,
    lanes: Vec<u8>,
    room: Vec<u8>,
}

/// See the module. Bit `i` of `matches`: lane `i` is searched for matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    codec: Codec,
    matches: u8,
}

const PLAIN: Form = Form { codec: Codec::Zstd, matches: 1 };

impl Encoder {
    /// An encoder; its memory is some MiB.
    pub fn new() -> Self {
        let zstd = || Compressor::new(LEVEL).expect("level 1 exists and memory for a context can be had");
        let mut counting = zstd();
        counting.set_parameter(CParameter::HashLog(NO_MATCHES)).expect("zstd takes tables from 2^6 on");
        Encoder { matching: zstd(), counting, lanes: vec![], room: vec![] }
    }

    /// The smaller form of `raw`, if one saves enough.
    pub fn encode(&mut self, raw: &[u8]) -> Option<(Codec, &[u8])> {
        if self.room.len() < raw.len() {
            self.room.resize(raw.len(), 0);
            self.lanes.resize(raw.len(), 0);
        }
        let form = if raw.len() < SAMPLE_FROM { PLAIN } else { self.choose(raw)? };
        let most = raw.len() - raw.len().div_ceil(WORTH);
        let length = self.compress(form, raw, most)?;
        Some((form.codec, &self.room[..length]))
    }

    /// Compress `raw` in this form into `room`; `None` when that takes more than `most` bytes: zstd stops there.
    fn compress(&mut self, form: Form, raw: &[u8], most: usize) -> Option<usize> {
        let width = form.codec as usize;
        if width == 1 {
            return self.matching.compress_to_buffer(raw, &mut self.room[..most]).ok();
        }
        let grouped = &mut self.lanes[..raw.len()];
        lanes::group(width, raw, grouped);
        let mut length = 0;
        for (at, span) in lanes::spans(width, raw.len()).enumerate() {
            let matching = (form.matches >> at) & 1 == 1;
            let zstd = if matching { &mut self.matching } else { &mut self.counting };
            length += zstd.compress_to_buffer(&grouped[span], &mut self.room[length..most]).ok()?;
        }
        Some(length)
    }

    /// The form in which a sample of `raw` shrinks most; `None` when it does not shrink.
    fn choose(&mut self, raw: &[u8]) -> Option<Form> {
        let mut sample = [0; SAMPLE];
        let (head, middle) = sample.split_at_mut(SAMPLE / 2);
        head.copy_from_slice(&raw[..SAMPLE / 2]);
        // A multiple of every width behind the first half, so that words continue words.
        let from = (raw.len() / 2) & !7;
        middle.copy_from_slice(&raw[from..from + SAMPLE / 2]);

        let plain = size(&mut self.matching, &sample, &mut self.room);
        if plain > SAMPLE - SAMPLE / FLAT {
            return None;
        }
        let text = plain * 100 < SAMPLE * TEXT;
        if text && !has_upper_bytes(&sample) {
            return Some(PLAIN);
        }
        let margin = if text { MARGIN_OF_TEXT } else { MARGIN };
        let mut best = (plain - plain / margin, PLAIN);
        for codec in [Codec::Lanes2, Codec::Lanes4, Codec::Lanes8] {
            let tried = self.try_lanes(codec, &sample);
            if tried.0 < best.0 {
                best = tried;
            }
        }
        Some(best.1)
    }

    /// What a sample takes in lanes, each stored as it is smaller.
    fn try_lanes(&mut self, codec: Codec, sample: &[u8]) -> (usize, Form) {
        let (width, grouped) = (codec as usize, &mut self.lanes[..sample.len()]);
        lanes::group(width, sample, grouped);
        let (mut length, mut matches) = (0, 0);
        for (at, span) in lanes::spans(width, sample.len()).enumerate() {
            let matching = size(&mut self.matching, &grouped[span.clone()], &mut self.room);
            let counting = size(&mut self.counting, &grouped[span], &mut self.room);
            length += matching.min(counting);
            matches |= u8::from(matching < counting) << at;
        }
        (length, Form { codec, matches })
    }
}

fn has_upper_bytes(sample: &[u8]) -> bool {
    let alike = sample.iter().zip(&sample[8..]).filter(|(byte, next)| byte == next).count();
    alike >= sample.len() / ALIKE
}

/// What `bytes`, a small part of what fits into `room`, are compressed to.
fn size(zstd: &mut Compressor<'_>, bytes: &[u8], room: &mut [u8]) -> usize {
    zstd.compress_to_buffer(bytes, room).unwrap_or(bytes.len())
}
