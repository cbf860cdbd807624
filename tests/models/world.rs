//! Logs that share their beginnings: each distinct log is folded once, by the real code.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use datamon::catalog::checkpoint::Blobs;
use datamon::catalog::state::Run;
use datamon::catalog::{Change, ChangeRecord, Entry, Refusal, Rule, Rules, State, Writer};
use datamon::id::{EntryHash, Nonce, Oid, PackId, RepoId, StoreId};
use datamon::pack::{Blob, PackInfo, PackKind, Term};
use datamon::table::{Recipe, Row, encode_rows};

/// A log, as a position in [`World`].
pub type LogId = u32;

/// One log: the entry at its end and everything before.
pub struct Node {
    parent: LogId,
    /// The fold.
    pub state: State,
    /// The newest change.
    pub record: ChangeRecord,
    /// Rows of every segment ever written, by fence.
    pub written: Rc<BTreeMap<Blob, Vec<Row>>>,
    entry: Entry,
    hash: EntryHash,
    /// Blobs of the newest checkpoint.
    blobs: Rc<Blobs>,
    checkpointed: bool,
}

/// All logs seen so far.
pub struct World {
    rules: Rules,
    nodes: Vec<Node>,
    ids: HashMap<(LogId, Vec<u8>, Vec<u8>), LogId>,
}

impl World {
    /// A world with one log, which only begins.
    pub fn new(rules: Rules) -> World {
        let record = record(0, Change::Init { store: StoreId::from_bytes([7; 16]) });
        let mut state = State::new(rules);
        state.check(&record).expect("a log begins with Init");
        state.apply(0, &record).expect("0 is the first");
        let entry = Entry::first(record.encode());
        let (_, hash) = entry.encode().expect("short");
        state.set_head_hash(hash);
        let (written, blobs) = Default::default();
        let node = Node { parent: 0, state, record, written, entry, hash, blobs, checkpointed: false };
        World { rules, nodes: vec![node], ids: HashMap::new() }
    }

    /// The rules in force.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// A log.
    pub fn log(&self, id: LogId) -> &Node {
        &self.nodes[id as usize]
    }

    /// The seq of the newest entry.
    pub fn head(&self, id: LogId) -> u64 {
        self.log(id).state.head().expect("every log has log/0")
    }

    /// The log as it was when entry `seq` was its newest.
    pub fn at(&self, mut id: LogId, seq: u64) -> LogId {
        while self.head(id) > seq {
            id = self.log(id).parent;
        }
        id
    }

    /// Every change after `seq`.
    pub fn since(&self, mut id: LogId, seq: u64) -> Vec<(u64, ChangeRecord)> {
        let mut records = Vec::new();
        while self.head(id) > seq {
            records.push((self.head(id), self.log(id).record.clone()));
            id = self.log(id).parent;
        }
        records.reverse();
        records
    }

    /// The log with one more entry, if the change may land there. A defect of the model is no refusal.
    pub fn append(
        &mut self,
        id: LogId,
        record: ChangeRecord,
        rows: Vec<(Blob, Vec<Row>)>,
        blobs: Option<Blobs>,
    ) -> Result<LogId, Refusal> {
        match self.log(id).state.check(&record) {
            Err(Refusal::Malformed(what)) => panic!("the model made a malformed change: {what}: {record:?}"),
            checked => checked.map(|()| self.append_unchecked(id, record, rows, blobs)),
        }
    }

    /// The log with one more entry, whether or not it may land there.
    pub fn append_unchecked(
        &mut self,
        id: LogId,
        record: ChangeRecord,
        rows: Vec<(Blob, Vec<Row>)>,
        blobs: Option<Blobs>,
    ) -> LogId {
        let change = record.encode();
        let content = rows.iter().flat_map(|(_, rows)| encode_rows(rows)).collect();
        let key = (id, change, content);
        if let Some(known) = self.ids.get(&key) {
            return *known;
        }
        let node = self.extend(id, record, rows, blobs, key.1.clone());
        self.nodes.push(node);
        let new = self.nodes.len() as LogId - 1;
        self.ids.insert(key, new);
        new
    }

    fn extend(
        &self,
        id: LogId,
        record: ChangeRecord,
        rows: Vec<(Blob, Vec<Row>)>,
        blobs: Option<Blobs>,
        change: Vec<u8>,
    ) -> Node {
        let before = self.log(id);
        let entry = before.entry.next(before.hash, change, self.rules).expect("the changes decode");
        let (bytes, hash) = entry.encode().expect("short");
        let mut state = before.state.clone();
        state.apply(entry.seq(), &record).expect("it is the next");
        state.set_head_hash(hash);
        if before.checkpointed {
            let opened = State::open(self.rules, &entry, hash, &before.blobs).expect("opens");
            if self.rules.on(Rule::Covers) {
                assert_eq!(Entry::decode(entry.seq(), &bytes).expect("decodes"), entry);
                assert_eq!(opened, state, "checkpoint and tail give another state than all changes");
            }
            state = opened;
        }
        let mut written = before.written.clone();
        if !rows.is_empty() {
            Rc::make_mut(&mut written).extend(rows);
        }
        let checkpointed = before.checkpointed || blobs.is_some();
        let blobs = blobs.map_or_else(|| before.blobs.clone(), Rc::new);
        Node { parent: id, state, record, written, entry, hash, blobs, checkpointed }
    }
}

/// A change without anything random or informative in it.
pub fn record(base: u64, change: Change) -> ChangeRecord {
    let mut record = ChangeRecord::new(base, change, Writer::default(), 0);
    record.nonce = Nonce::from_bytes([0; 16]);
    record
}

/// A change that adds packs.
pub fn adding(base: u64, added: &[u8], change: Change) -> ChangeRecord {
    let mut record = record(base, change);
    record.added = added
        .iter()
        .map(|n| (pack(*n), PackInfo { kind: PackKind::Meta, size: 1000, footer: 100 }))
        .collect();
    record
}

/// Pack number n; a set of packs is a word with bit n.
pub fn pack(n: u8) -> PackId {
    PackId::from_bytes([n; 16])
}

/// The number of a pack.
pub fn number(pack: PackId) -> u8 {
    pack.as_bytes()[0]
}

/// A set of packs as a word.
pub fn word<'a>(packs: impl IntoIterator<Item = &'a PackId>) -> u64 {
    packs.into_iter().fold(0, |word, pack| word | 1 << number(*pack))
}

/// A word as a set of packs.
pub fn packs(word: u64) -> impl Iterator<Item = PackId> {
    (0..64).filter(move |n| word & 1 << n != 0).map(|n| pack(n as u8))
}

/// The first frame of a pack; X has another one behind it.
pub fn frame(n: u8) -> Blob {
    Blob { pack: pack(n), offset: 16, stored: 100 }
}

/// An oid by a letter.
pub fn oid(letter: u8) -> Oid {
    Oid::from_bytes([letter; 32])
}

/// A repo by its number.
pub fn repo(n: u8) -> RepoId {
    RepoId::from_bytes([n + 1; 16])
}

/// A row whose only term is the first frame of a pack.
pub fn row(letter: u8, of: u8, n: u8) -> Row {
    row_over(letter, of, Run::from(&frame(n)))
}

/// A row whose only term is a run of frames.
pub fn row_over(letter: u8, of: u8, run: Run) -> Row {
    let Run { pack, offset, stored } = run;
    let term = Term { pack, offset, stored, skip: 0, raw: 500, repeat: 1 };
    Row { oid: oid(letter), repo: repo(of), born: 0, size: 500, recipe: Recipe::Inline(vec![term]) }
}
