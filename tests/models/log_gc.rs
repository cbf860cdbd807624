//! The append loop against collection, request by request (ported from `log_gc_model.py`).
//!
//! Two pushers plan on the state they opened, upload, and drive a real [`Append`]; one dropper makes the pack X garbage; one
//! collector marks, condemns (through the same loop), deletes and forgets; another finishes what a dead one condemned. Everyone
//! may stop at every step. Invariant: no live row names a pack that is gone.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use datamon::catalog::change::{Condemn, Drop, Push, RowBlock};
use datamon::catalog::plan::{Mark, Named};
use datamon::catalog::slot::{Action, Append, Event};
use datamon::catalog::state::Run;
use datamon::catalog::{Change, ChangeRecord, Remedy, Rule, Rules};
use datamon::table::{Row, decode_rows, encode_rows};

use super::explore::{Model, Outcome, explore};
use super::world::{LogId, World, adding, frame, oid, pack, packs, record, repo, row, word};

const X: u8 = 0;

/// What the store and the program around the catalog do wrong.
#[derive(Clone, Copy, Default)]
struct Faults {
    /// The collector forgets its tombstones; no fault by itself.
    forgets: bool,
    /// A create succeeds on a taken slot: it lands after the newest entry.
    no_create_only: bool,
    /// Both pushers upload under one name.
    names_reused: bool,
    /// The entry is created before the pack is uploaded.
    entry_first: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Pc {
    Start,
    Upload,
    Append,
    Sweep,
    Forget,
    Done,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Session {
    pc: Pc,
    base: u64,
    borrows: bool,
    append: Option<Append>,
    /// Whether the check was passed once: without the rule, that is enough.
    checked: bool,
    mark: Option<Mark>,
    condemned: u64,
}

impl Session {
    const NEW: Session = Session {
        pc: Pc::Start,
        base: 0,
        borrows: false,
        append: None,
        checked: false,
        mark: None,
        condemned: 0,
    };
    const OVER: Session = Session { pc: Pc::Done, ..Session::NEW };
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    log: LogId,
    packs: u64,
    pushers: [Session; 2],
    dropped: bool,
    collector: Session,
}

struct LogGc {
    world: World,
    faults: Faults,
    live: HashMap<LogId, u64>,
    /// Changes about to be created, by position; the bytes in an [`Append`] are that position.
    built: Vec<ChangeRecord>,
}

/// A push of one inline row.
fn push(base: u64, letter: u8, of: u8, added: &[u8]) -> ChangeRecord {
    let rows = RowBlock { rows: 1, bytes: encode_rows(&[row(letter, 0, of)]) };
    let push = Push { repo: repo(0), rows: Some(rows), segments: vec![], labels: vec![], bundles: vec![] };
    let mut record = adding(base, added, Change::Push(push));
    record.named = if added.is_empty() { vec![pack(of)] } else { vec![] };
    record
}

impl LogGc {
    fn rows(&self, log: LogId) -> Vec<Row> {
        let state = &self.world.log(log).state;
        let mut live = Vec::new();
        for (seq, inline) in state.inline() {
            let rows = decode_rows(&inline.block.bytes).expect("written by the model").into_iter();
            let rows = rows.map(|row| Row { born: *seq, ..row });
            live.extend(rows.filter(|row| state.is_live(row.oid, row.repo, row.born)));
        }
        live
    }

    fn live(&mut self, log: LogId) -> u64 {
        if !self.live.contains_key(&log) {
            let live = self.rows(log).iter().flat_map(Row::packs).collect::<BTreeSet<_>>();
            self.live.insert(log, word(&live));
        }
        self.live[&log]
    }

    fn own(&self, i: usize) -> u8 {
        if self.faults.names_reused { 10 } else { 10 + i as u8 }
    }

    /// The change that a session wants in the log; `None` when there is nothing left to do.
    fn wanted(&self, i: usize, session: &Session, log: LogId) -> Option<ChangeRecord> {
        let Some(mark) = &session.mark else {
            let letter = b'1' + i as u8;
            let own = self.own(i);
            return Some(if session.borrows {
                push(session.base, letter, X, &[])
            } else {
                push(session.base, letter, own, &[own])
            });
        };
        let state = &self.world.log(log).state;
        let since = self.world.since(log, mark.seq);
        let victims: BTreeSet<_> = match self.world.rules().on(Rule::Recheck) || !session.checked {
            true => mark.condemn(state, &since).expect("every entry was read"),
            false => mark.victims.clone(),
        };
        let condemn = Condemn { mark: mark.seq, packs: victims.into_iter().collect() };
        (!condemn.packs.is_empty()).then(|| record(mark.seq, Change::Condemn(condemn)))
    }

    /// Answers what others cannot change, up to the next create. The session when it may go on, else what it does instead.
    fn settle(&mut self, i: usize, mut session: Session, log: LogId) -> Result<Session, Option<Remedy>> {
        loop {
            let append = session.append.as_ref().expect("it is in the loop");
            let event = match append.action() {
                Action::ReadPrev(seq) => Event::Read(seq.to_le_bytes().to_vec()),
                Action::ReadSlot(seq) => Event::Read(seq.to_le_bytes().to_vec()),
                Action::Check { slot, .. } => {
                    let before = self.world.at(log, slot - 1);
                    let wanted = self.wanted(i, &session, before).ok_or(None)?;
                    if self.world.rules().on(Rule::Recheck) || !session.checked {
                        self.world
                            .log(before)
                            .state
                            .check(&wanted)
                            .map_err(|refusal| Some(refusal.remedy()))?;
                    }
                    session.checked = true;
                    let at = self.built.iter().position(|known| *known == wanted).unwrap_or(self.built.len());
                    if at == self.built.len() {
                        self.built.push(wanted);
                    }
                    Event::Built([b"built ", &at.to_le_bytes()[..]].concat())
                }
                _ => return Ok(session),
            };
            session.append.as_mut().expect("it is in the loop").step(event).expect("an answer");
        }
    }

    /// One create: the log it leads to, when it succeeds.
    fn create(&mut self, session: &Session, log: LogId) -> Option<LogId> {
        let Some(Action::Create { slot, bytes }) = session.append.as_ref().map(Append::action) else {
            panic!("a settled session is about to create");
        };
        let at = usize::from_le_bytes(bytes[6..].try_into().expect("a position"));
        let free = slot == self.world.log(log).state.next();
        (free || self.faults.no_create_only)
            .then(|| self.world.append_unchecked(log, self.built[at].clone(), vec![], None))
    }

    /// A session in the append loop: creates, or finds the slot taken and goes on to the next.
    fn appending(&mut self, at: &State, i: usize, session: &Session) -> Vec<(LogId, Session, &'static str)> {
        match self.create(session, at.log) {
            Some(log) => {
                let pc = if session.mark.is_some() { Pc::Sweep } else { Pc::Done };
                let after = Session { pc, append: None, checked: false, ..session.clone() };
                vec![(log, after, "creates its entry")]
            }
            None => {
                let mut lost = session.clone();
                lost.append.as_mut().expect("in the loop").step(Event::Exists).expect("an answer");
                let (next, what) = self.begin(i, lost, at.log);
                vec![(at.log, next, what)]
            }
        }
    }

    /// Settles a session, or lets it do what a refusal tells it.
    fn begin(&mut self, i: usize, session: Session, log: LogId) -> (Session, &'static str) {
        let head = self.world.head(log);
        let anew = Session { pc: Pc::Upload, base: head, ..Session::NEW };
        match self.settle(i, session, log) {
            Ok(session) => (session, "is about to create"),
            Err(Some(Remedy::RedoWithout(_))) => (anew, "plans anew without borrowing"),
            Err(Some(Remedy::Restart)) if self.faults.names_reused => {
                (anew, "uploads again under the same name")
            }
            Err(_) => (Session::OVER, "stops"),
        }
    }

    fn push_steps(&mut self, at: &State, i: usize) -> Vec<(LogId, u64, Session, &'static str)> {
        let session = &at.pushers[i];
        let (head, own) = (self.world.head(at.log), self.own(i));
        let rules = self.world.rules();
        let appending = |session: Session| Session {
            pc: Pc::Append,
            append: Some(Append::new(rules, session.base + 1)),
            ..session
        };
        let mut next = Vec::new();
        match session.pc {
            Pc::Start => {
                let planned = Session { base: head, ..Session::NEW };
                if self.world.log(at.log).state.packs().contains_key(&pack(X)) {
                    let (session, _) =
                        self.begin(i, appending(Session { borrows: true, ..planned.clone() }), at.log);
                    next.push((at.log, at.packs, session, "plans to borrow X"));
                }
                next.push((at.log, at.packs, Session { pc: Pc::Upload, ..planned }, "plans its own pack"));
            }
            Pc::Upload => {
                let packs = if self.faults.entry_first { at.packs } else { at.packs | 1 << own };
                let (session, _) = self.begin(i, appending(session.clone()), at.log);
                next.push((at.log, packs, session, "uploads"));
            }
            Pc::Append => {
                let steps = self.appending(at, i, session).into_iter();
                next.extend(steps.map(|(log, session, what)| (log, at.packs, session, what)));
                // A long upload looks for the head again; the entries between are then not checked one by one.
                let append = Some(Append::new(rules, head + 1));
                if append.as_ref().map(Append::action) != session.append.as_ref().map(Append::action) {
                    let (session, what) = self.begin(i, Session { append, ..session.clone() }, at.log);
                    next.push((at.log, at.packs, session, what));
                }
            }
            _ => {}
        }
        next
    }

    fn collect_steps(&mut self, at: &State) -> Vec<(LogId, u64, Session, &'static str)> {
        let session = &at.collector;
        match session.pc {
            Pc::Start => {
                let terms = self.rows(at.log).into_iter().flat_map(|row| row.packs());
                let named = terms.map(|pack| Named::Run(Run { pack, ..Run::from(&frame(0)) })).collect();
                let mark = Mark::take(&self.world.log(at.log).state, &named, &packs(at.packs).collect());
                if mark.victims.is_empty() {
                    return vec![];
                }
                let append = Some(Append::new(self.world.rules(), mark.seq + 1));
                let marked =
                    Session { pc: Pc::Append, base: mark.seq, append, mark: Some(mark), ..Session::NEW };
                let (session, _) = self.begin(2, marked, at.log);
                vec![(at.log, at.packs, session, "marks")]
            }
            Pc::Append => {
                let Some(Action::Create { bytes, .. }) = session.append.as_ref().map(Append::action) else {
                    panic!("a settled session is about to create");
                };
                let position = usize::from_le_bytes(bytes[6..].try_into().expect("a position"));
                let Change::Condemn(condemn) = &self.built[position].change else {
                    panic!("a collector condemns")
                };
                let condemned = word(&condemn.packs);
                let steps = self.appending(at, 2, session).into_iter();
                let condemning = |session: Session| match session.pc {
                    Pc::Sweep => Session { condemned, ..session },
                    _ => session,
                };
                steps.map(|(log, session, what)| (log, at.packs, condemning(session), what)).collect()
            }
            Pc::Sweep => {
                let pc = if self.faults.forgets { Pc::Forget } else { Pc::Done };
                vec![(at.log, at.packs & !session.condemned, Session { pc, ..session.clone() }, "deletes")]
            }
            Pc::Forget => {
                let (head, mark) = (self.world.head(at.log), session.mark.as_ref().expect("it marked"));
                let condemned = packs(session.condemned).collect();
                let forget = mark.forget(&self.world.log(at.log).state, &condemned, head);
                let forget = record(head, Change::Forget(forget));
                let log = self.world.append(at.log, forget, vec![], None).expect("a forget is not refused");
                vec![(log, at.packs, Session::OVER, "forgets")]
            }
            _ => vec![],
        }
    }
}

impl Model for LogGc {
    type State = State;

    fn violation(&mut self, at: &State) -> Option<String> {
        let missing = self.live(at.log) & !at.packs;
        (missing != 0).then(|| format!("lost: packs {missing:#b} are named and gone"))
    }

    fn steps(&mut self, at: &State, report: &mut dyn FnMut(State, fmt::Arguments<'_>)) {
        for i in 0..2 {
            for (log, packs, session, what) in self.push_steps(at, i) {
                let mut next = State { log, packs, ..at.clone() };
                next.pushers[i] = session;
                report(next, format_args!("pusher {i} {what}"));
            }
            if at.pushers[i].pc != Pc::Done {
                let mut next = at.clone();
                next.pushers[i] = Session::OVER;
                report(next, format_args!("pusher {i} dies"));
            }
        }
        if !at.dropped {
            let head = self.world.head(at.log);
            let drop = Drop { planned_on: head, keys: vec![(oid(b'0'), repo(0))], bundles: vec![] };
            let log = self.world.append(at.log, record(head, Change::Drop(drop)), vec![], None);
            let log = log.expect("a drop at the head is not refused");
            report(State { log, dropped: true, ..at.clone() }, format_args!("row 0 is dropped"));
        }
        for (log, packs, collector, what) in self.collect_steps(at) {
            report(State { log, packs, collector, ..at.clone() }, format_args!("collector {what}"));
        }
        if at.collector.pc == Pc::Done {
            let dead = word(self.world.log(at.log).state.condemned().keys()) & at.packs;
            if dead != 0 {
                report(
                    State { packs: at.packs & !dead, ..at.clone() },
                    format_args!("another collector deletes"),
                );
            }
        } else {
            report(State { collector: Session::OVER, ..at.clone() }, format_args!("collector dies"));
        }
    }
}

fn run(rules: Rules, faults: Faults) -> Outcome {
    let mut world = World::new(rules);
    let log = world.append(0, push(0, b'0', X, &[X]), vec![], None).expect("the first push lands");
    let mut model = LogGc { world, faults, live: HashMap::new(), built: Vec::new() };
    let start = State {
        log,
        packs: 1 << X,
        pushers: [Session::NEW, Session::NEW],
        dropped: false,
        collector: Session::NEW,
    };
    explore(&mut model, start)
}

const FORGETS: Faults =
    Faults { forgets: true, no_create_only: false, names_reused: false, entry_first: false };

#[test]
fn pushes_race_collection_safely() {
    run(Rules::ALL, Faults::default()).assert_safe("log: all rules on");
    run(Rules::ALL, FORGETS).assert_safe("log: all rules on, tombstones forgotten");
}

#[test]
fn names_used_twice_are_safe_only_while_tombstones_stay() {
    run(Rules::ALL, Faults { names_reused: true, ..Faults::default() }).assert_safe("log: names reused");
    let floorless = Rules::without(Rule::Floor);
    run(floorless, Faults { names_reused: true, ..FORGETS })
        .assert_violated("log: names reused, forgotten, without R8 floor");
}

#[test]
fn every_rule_of_the_log_is_needed() {
    let without = |rule, faults| run(Rules::without(rule), faults);
    without(Rule::PackCheck, Faults::default()).assert_violated("log: without R8 pack check");
    without(Rule::Recheck, Faults::default()).assert_violated("log: without R8 check at every slot");
    without(Rule::Floor, FORGETS).assert_violated("log: without R8 floor, tombstones forgotten");
}

#[test]
fn the_store_must_keep_its_part() {
    let no_create_only = Faults { no_create_only: true, ..Faults::default() };
    run(Rules::ALL, no_create_only).assert_violated("log: creates that overwrite");
    let entry_first = Faults { entry_first: true, ..Faults::default() };
    run(Rules::ALL, entry_first).assert_violated("log: entry before pack");
}
