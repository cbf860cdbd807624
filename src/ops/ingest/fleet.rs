//! Packs on their way to the store while later ones are filled: as many at once, and as large, as [`crate::store::Flow`] says.

use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::catalog::Sent;
use crate::pack::{Pack, PackWriter};
use crate::store::{Lane, Store, StoreError};

/// The packs of one ingest.
pub struct Fleet {
    store: Store,
    sent: Sent,
    under_way: Vec<JoinHandle<()>>,
    /// Room for the next one, already waited for.
    lane: Option<Lane>,
    /// Why the first one was lost; no other one is sent after it.
    lost: Arc<Mutex<Option<StoreError>>>,
}

impl Fleet {
    /// None is under way.
    pub fn new(store: &Store, sent: &Sent) -> Fleet {
        Fleet {
            store: store.clone(),
            sent: sent.clone(),
            under_way: vec![],
            lane: None,
            lost: Arc::default(),
        }
    }

    /// Bytes of a pack.
    pub fn target(&self) -> u64 {
        self.store.up().pack()
    }

    /// Waits until this one may go as well: it, those under way and nothing else is in memory.
    pub fn wait_for_room(&mut self, pack: &PackWriter) -> Result<(), StoreError> {
        if self.lane.is_none() {
            self.lane = Some(self.store.up().enter(pack.len() as u64));
        }
        match self.lost.lock().expect("no holder of this lock panics").take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Sends a pack.
    pub fn launch(&mut self, pack: Pack) {
        let mut lane = self.lane.take().unwrap_or_else(|| self.store.up().enter(pack.info.size));
        lane.start(pack.info.size);
        let (store, sent, lost) = (self.store.clone(), self.sent.clone(), self.lost.clone());
        self.under_way.retain(|other| !other.is_finished());
        self.under_way.push(thread::spawn(move || match pack.put(&store) {
            Ok(()) => {
                sent.add(pack.id, pack.info);
                lane.carried();
            }
            Err(error) => drop(lost.lock().expect("no holder of this lock panics").get_or_insert(error)),
        }));
    }

    /// Waits for all of them: durable on return.
    pub fn land(self) -> Result<(), StoreError> {
        for pack in self.under_way {
            pack.join().expect("to put a pack does not panic");
        }
        match self.lost.lock().expect("no holder of this lock panics").take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
