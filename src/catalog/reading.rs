//! The reading before an entry (R6): slot n is created only after log/n − 1 was read from the store itself by this process.
//!
//! A reading is believed once, for the entry that comes next, and only until this process writes or deletes anything: what lies between
//! may have taken long. What was just created counts as read, as the store itself said that it holds these very bytes. So the reading
//! need not be a round trip of its own where another request can be made at the same time.

use bytes::Bytes;

use super::log::Catalog;
use crate::store::key;

/// The head, as the store itself gave it to this process or took it from it.
#[derive(Debug)]
pub(super) struct Reading {
    bytes: Bytes,
    /// What this process had written and deleted by then, requests.
    writes: u64,
}

impl Catalog {
    /// The store itself holds `bytes` as the head.
    pub(super) fn saw(&mut self, bytes: Bytes) {
        self.reading = Some(Reading { bytes, writes: self.writes() });
    }

    /// The bytes of log/`seq`, if they are the head and were read for the entry that comes next.
    pub(super) fn take_reading(&mut self, seq: u64) -> Option<Bytes> {
        let reading = self.reading.take()?;
        (reading.writes == self.writes() && self.head.seq() == seq).then_some(reading.bytes)
    }

    /// Does `work`, the last writing before an entry, and reads the head meanwhile. What cannot be read now is read again for the entry.
    pub fn read_beside<T: Send>(&mut self, work: impl FnOnce() -> T + Send) -> T {
        let key = key::log(self.head.seq());
        let (done, read) = rayon::join(work, || self.store.get(&key));
        if let Ok(Some(bytes)) = read {
            self.saw(bytes);
        }
        done
    }

    fn writes(&self) -> u64 {
        let counts = self.store.requests();
        counts.put + counts.delete
    }
}
