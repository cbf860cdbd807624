//! The actors of the catalog model.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use datamon::catalog::change::{
    BundleRef, Checkpoint, CheckpointBlob, Compact, Condemn, DEFAULT_BRANCH, Drop, Forward, Label, Parent,
    TableKind,
};
use datamon::catalog::plan::{self, Mark, due, merge, names, runs};
use datamon::catalog::state::Run;
use datamon::catalog::{Change, Remedy, Rule, checkpoint};
use datamon::id::{BundleId, PackId};
use datamon::pack::Blob;

use super::{
    Actor, BASE, BOTH, Catalog, NONE, Pc, Schedule, X, own, pack_of, push, run_of, segment, segments,
};
use crate::models::world::{
    LogId, adding, frame, number, oid, pack, packs, record, repo, row, row_over, word,
};

type Report<'a> = dyn FnMut(Schedule, fmt::Arguments<'_>) + 'a;

/// The label that an actor moves: N one of a user, the others where `latest` leads.
fn label_of(kind: char) -> &'static str {
    if kind == 'N' { "reviewed" } else { DEFAULT_BRANCH }
}

/// What an actor's step changes.
pub struct Turn<'a, 'r> {
    pub at: &'a Schedule,
    pub i: usize,
    report: &'a mut Report<'r>,
}

impl Turn<'_, '_> {
    pub fn to(&mut self, actor: Actor, what: fmt::Arguments<'_>) {
        self.go(self.at.log, self.at.packs, actor, what);
    }

    pub fn put(&mut self, actor: Actor, put: &[u8]) {
        let packs = put.iter().fold(self.at.packs, |word, n| word | 1 << n);
        self.go(self.at.log, packs, actor, format_args!("put {put:?}"));
    }

    pub fn go(&mut self, log: LogId, packs: u64, actor: Actor, what: fmt::Arguments<'_>) {
        let mut actors = self.at.actors.clone();
        actors[self.i] = actor;
        (self.report)(Schedule { log, packs, actors }, format_args!("{}{} {what}", actor.kind, self.i));
    }
}

/// The place of a plan among those made before.
pub fn number_of<T: PartialEq>(plans: &mut Vec<T>, plan: T) -> usize {
    plans.iter().position(|known| *known == plan).unwrap_or_else(|| {
        plans.push(plan);
        plans.len() - 1
    })
}

/// A move from where the actor saw its label.
fn move_of(actor: Actor, to: BundleId) -> Label {
    let previous = (actor.floor > 0).then_some(actor.floor);
    Label { repo: repo(0), name: label_of(actor.kind).to_owned(), bundle: Some(to), previous }
}

impl Catalog {
    /// Every step that actor number `i` can take.
    pub fn step(&mut self, at: &Schedule, i: usize, report: &mut Report<'_>) {
        let actor = at.actors[i];
        let turn = &mut Turn { at, i, report };
        match actor.kind {
            _ if actor.pc == Pc::Done => {}
            'T' | 'U' | 'P' => self.touch(actor, turn),
            'B' | 'F' => self.bundle(actor, turn),
            'V' => self.version(actor, turn),
            'E' => self.give_up(actor, turn),
            'H' | 'I' | '1' => self.redact(actor, turn),
            'S' | 'O' => self.copy(actor, turn),
            'X' | 'Y' => self.live(actor, turn),
            'K' => self.drop_repo(actor, turn),
            'A' | 'J' => self.rebuild(actor, turn),
            'L' | 'M' | 'W' => self.merge(actor, turn),
            'D' => self.drop(actor, turn),
            'C' => self.checkpoint(actor, turn),
            'N' | 'Q' => self.name(actor, turn),
            'G' | 'R' | 'Z' => self.collect(actor, turn),
            other => panic!("no actor is called {other}"),
        }
    }

    /// Pushes oid `a` again, already known: a touch (U: by another repo). P pushes a new file whose chunks are in both frames of X.
    fn touch(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, i, head) = (turn.at.log, turn.i, self.world.head(turn.at.log));
        let state = &self.world.log(log).state;
        let known = |n: u8| if state.packs().contains_key(&pack(n)) { n } else { NONE };
        let new = actor.kind == 'P';
        let (segment_pack, data_pack) = (own(i, actor.round, 's'), own(i, actor.round, 'd'));
        let added = if actor.borrowed == NONE { vec![segment_pack, data_pack] } else { vec![segment_pack] };
        match actor.pc {
            Pc::Plan => {
                // What is found says itself where its data lies now.
                let found = self.find(log, oid(b'a')).filter(|_| !new).map_or(X, |row| pack_of(&row));
                let borrowed = known(found);
                turn.to(
                    Actor { pc: Pc::Put, base: head, borrowed, ..actor },
                    format_args!("plans a touch of {borrowed}"),
                );
            }
            Pc::Put => turn.put(Actor { pc: Pc::Commit, ..actor }, &added),
            Pc::Commit => {
                let base = plan::base(self.world.rules(), Some(actor.base), head);
                if base != actor.base {
                    turn.to(Actor { base, ..actor }, format_args!("resumes at {base}"));
                }
                let landed = self.once(log, i, actor, |model| model.commit_touch(actor, &added, log));
                let anew = Actor { pc: Pc::Put, round: 1, borrowed: NONE, ..actor };
                match landed {
                    Ok(log) => turn.go(
                        log,
                        turn.at.packs,
                        Actor { pc: Pc::Done, ..actor },
                        format_args!("pushes its row"),
                    ),
                    Err(_) if actor.round == 1 => {}
                    // The repo is deleted: once it is back, it may land.
                    Err(Remedy::GiveUp) => {}
                    Err(Remedy::Restart) => turn.to(Actor { base: head, ..anew }, format_args!("restarts")),
                    Err(Remedy::RedoWithout(gone)) => {
                        assert_eq!(gone, [pack(actor.borrowed)]);
                        let state = &self.world.log(log).state;
                        let end = state.end(run_of(actor.borrowed)).pack;
                        let there = !new && state.packs().contains_key(&end);
                        let borrowed = if there { number(end) } else { NONE };
                        turn.to(Actor { borrowed, ..anew }, format_args!("redoes, borrowing {borrowed}"));
                    }
                    Err(other) => panic!("a touch cannot answer {other:?}"),
                }
            }
            _ => {}
        }
    }

    fn commit_touch(&mut self, actor: Actor, added: &[u8], log: LogId) -> Result<LogId, Remedy> {
        let of = u8::from(actor.kind == 'U');
        let data = if actor.borrowed == NONE { added[1] } else { actor.borrowed };
        let rows = vec![match (actor.kind, data) {
            ('P', X) => row_over(b'p', of, Run { stored: BOTH, ..run_of(X) }),
            ('P', own) => row(b'p', of, own),
            (_, n) => row(b'a', of, n),
        }];
        let written = vec![segment(frame(added[0]), &rows[0])];
        let mut record = adding(actor.base, added, push(repo(of), written, vec![]));
        let foreign =
            names(self.world.rules(), &rows).into_iter().filter(|named| !added.contains(&number(*named)));
        record.named = foreign.collect();
        self.commit(log, record, vec![(frame(added[0]), rows)], BTreeMap::new(), None)
    }

    /// Writes a bundle that changes one page of `base` and shares the other; F moves `latest` to it in the same entry.
    fn bundle(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, i, head) = (turn.at.log, turn.i, self.world.head(turn.at.log));
        let share = actor.borrowed != NONE;
        let (page, data) = (own(i, actor.round, 'm'), own(i, actor.round, 'd'));
        let added = if share { vec![page] } else { vec![page, data] };
        match actor.pc {
            Pc::Plan => {
                let base = self.world.log(log).state.bundles().get(&BASE);
                let borrowed = base.map_or(NONE, |base| number(base.root.pack));
                turn.to(
                    Actor { pc: Pc::Put, base: head, borrowed, floor: self.seen(log, actor.kind), ..actor },
                    format_args!("plans a bundle on {borrowed}"),
                );
            }
            Pc::Put => turn.put(Actor { pc: Pc::Commit, ..actor }, &added),
            Pc::Commit => {
                let landed = self.once(log, i, actor, |model| {
                    let id = BundleId::from_bytes([2 + i as u8; 16]);
                    let bundle = BundleRef {
                        id,
                        repo: repo(0),
                        base: share.then_some(BASE),
                        root: frame(page),
                        commit: None,
                        tree: None,
                    };
                    let mut change = push(repo(0), vec![], vec![bundle]);
                    if let (Change::Push(push), 'F') = (&mut change, actor.kind) {
                        push.labels.push(move_of(actor, id));
                    }
                    let record = adding(actor.base, &added, change);
                    let seen = model.world.at(log, actor.base);
                    let shared = if share { model.pages(seen, BASE) } else { BTreeSet::new() };
                    let needs: BTreeSet<u8> = added.iter().copied().chain(shared).collect();
                    model.commit(log, record, vec![], BTreeMap::from([(id, needs)]), None)
                });
                match landed {
                    Ok(log) => turn.go(
                        log,
                        turn.at.packs,
                        Actor { pc: Pc::Done, ..actor },
                        format_args!("pushes a bundle"),
                    ),
                    // What it reads then it shares, too.
                    Err(Remedy::Restart) if actor.round == 0 => {
                        let anew = Actor { pc: Pc::Plan, base: 0, round: 1, borrowed: NONE, ..actor };
                        turn.to(anew, format_args!("restarts"));
                    }
                    Err(Remedy::BuildAlone) if actor.round == 0 => {
                        let anew = Actor { pc: Pc::Put, base: head, round: 1, borrowed: NONE, ..actor };
                        turn.to(anew, format_args!("restarts with files of its own"));
                    }
                    // It goes on from where the label was put meanwhile.
                    Err(Remedy::GiveUp) if actor.floor != self.seen(log, actor.kind) => {
                        let floor = self.seen(log, actor.kind);
                        turn.to(Actor { floor, ..actor }, format_args!("sees the label moved at {floor}"));
                    }
                    Err(_) => {}
                }
            }
            _ => {}
        }
    }

    /// The seq of the label's last move; 0 is none, for log/0 moves no label.
    fn seen(&self, log: LogId, kind: char) -> u64 {
        self.world.log(log).state.label(repo(0), label_of(kind)).map_or(0, |at| at.seq)
    }

    /// Merges what is due where one run is enough (M: two, so that the oldest stays); W merges all, and rewrites rows
    /// through forwards.
    fn merge(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, i, head) = (turn.at.log, turn.i, self.world.head(turn.at.log));
        let out = own(i, 0, 's');
        match actor.pc {
            Pc::Plan => {
                let state = &self.world.log(log).state;
                let runs = runs(state, TableKind::Files);
                let rewrite = actor.kind == 'W';
                let count = match actor.kind {
                    'W' => Some(runs.len()).filter(|count| *count > 1 || !state.forwards().is_empty()),
                    kind => due(&runs, if kind == 'M' { 2 } else { 1 }),
                };
                if let Some(count) = count {
                    let outs = runs[..count].iter().flat_map(|run| &run.segments).map(|it| it.at.fence);
                    let outs: Vec<Blob> = outs.collect();
                    let rows = self.rows(log).into_iter().filter(|(fence, _)| outs.contains(fence));
                    let merged = merge(state, rows.map(|(_, row)| row).collect(), rewrite);
                    let what = format!("plans a merge of {} segments", outs.len());
                    let plan = number_of(&mut self.merges, (outs, merged));
                    turn.to(Actor { pc: Pc::Put, base: head, plan, ..actor }, format_args!("{what}"));
                }
            }
            Pc::Put => turn.put(Actor { pc: Pc::Commit, ..actor }, &[out]),
            Pc::Commit => {
                let landed = self.once(log, i, actor, |model| {
                    let (outs, merged) = model.merges[actor.plan].clone();
                    let written = segments(out, &merged.rows);
                    let rows = written.iter().map(|(it, row)| (it.fence, vec![row.clone()])).collect();
                    let segments = written.into_iter().map(|(it, _)| it).collect();
                    let compact = Compact { outs, segments, ..Compact::default() };
                    let mut record = adding(actor.base, &[out], Change::Compact(compact));
                    record.named = merged.named.into_iter().collect();
                    model.commit(log, record, rows, BTreeMap::new(), None)
                });
                let done = Actor { pc: Pc::Done, ..actor };
                match landed {
                    Ok(log) => turn.go(log, turn.at.packs, done, format_args!("merges")),
                    Err(_) => turn.to(done, format_args!("gives up the merge")),
                }
            }
            _ => {}
        }
    }

    fn drop(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, i, head) = (turn.at.log, turn.i, self.world.head(turn.at.log));
        match actor.pc {
            Pc::Plan => turn.to(Actor { pc: Pc::Commit, base: head, ..actor }, format_args!("plans a drop")),
            Pc::Commit => {
                let landed = self.once(log, i, actor, |model| {
                    let keys = vec![(oid(b'a'), repo(0))];
                    let drop = Drop { planned_on: actor.base, keys, bundles: vec![BASE] };
                    model.commit(log, record(actor.base, Change::Drop(drop)), vec![], BTreeMap::new(), None)
                });
                let done = Actor { pc: Pc::Done, ..actor };
                match landed {
                    Ok(log) => turn.go(log, turn.at.packs, done, format_args!("drops row a/r0 and base")),
                    Err(_) => {
                        turn.to(Actor { pc: Pc::Plan, base: 0, ..actor }, format_args!("plans the drop anew"))
                    }
                }
            }
            _ => {}
        }
    }

    /// Moves a label to `base`, from where it was seen; who comes too late, or finds the bundle gone, gives up. The seq of the
    /// move seen is kept where other actors keep a floor.
    fn name(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, i, head) = (turn.at.log, turn.i, self.world.head(turn.at.log));
        match actor.pc {
            Pc::Plan => {
                let seen = self.seen(log, actor.kind);
                let next = Actor { pc: Pc::Commit, base: head, floor: seen, ..actor };
                turn.to(next, format_args!("sees the label moved at {seen}"));
            }
            Pc::Commit => {
                let landed = self.once(log, i, actor, |model| {
                    let change = record(actor.base, Change::Label(move_of(actor, BASE)));
                    model.commit(log, change, vec![], BTreeMap::new(), None)
                });
                let done = Actor { pc: Pc::Done, ..actor };
                match landed {
                    Ok(log) => turn.go(log, turn.at.packs, done, format_args!("moves the label to base")),
                    Err(remedy) => {
                        assert_eq!(remedy, Remedy::GiveUp);
                        turn.to(done, format_args!("gives up the label"));
                    }
                }
            }
            _ => {}
        }
    }

    fn checkpoint(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, i, head) = (turn.at.log, turn.i, self.world.head(turn.at.log));
        let own = own(i, 0, 'c');
        match actor.pc {
            Pc::Plan => {
                turn.to(Actor { pc: Pc::Put, base: head, ..actor }, format_args!("folds up to {head}"))
            }
            Pc::Put => turn.put(Actor { pc: Pc::Commit, ..actor }, &[own]),
            Pc::Commit => {
                let landed = self.once(log, i, actor, |model| model.commit_checkpoint(actor, own, log));
                let done = Actor { pc: Pc::Done, ..actor };
                match landed {
                    Ok(log) => {
                        turn.go(log, turn.at.packs, done, format_args!("checkpoint covering {}", actor.base))
                    }
                    Err(_) => turn.to(done, format_args!("gives up the checkpoint")),
                }
            }
            _ => {}
        }
    }

    fn commit_checkpoint(&mut self, actor: Actor, own: u8, log: LogId) -> Result<LogId, Remedy> {
        let state = &self.world.log(self.world.at(log, actor.base)).state;
        let all = checkpoint::encode(state, None);
        let parent = state.checkpoint();
        let (mut blobs, write) = checkpoint::changed(parent.map(|(_, newest)| newest), all.clone());
        let reused: BTreeSet<_> = blobs.values().map(|blob| blob.at.pack).collect();
        for (kind, bytes) in &write {
            blobs.insert(kind.clone(), CheckpointBlob { at: frame(own), hash: checkpoint::hash(bytes) });
        }
        let parent = parent.map(|(seq, it)| Parent { seq: *seq, covers: it.covers, blobs: it.blobs.clone() });
        let checkpoint = Checkpoint { covers: actor.base, parent, blobs, segment: None, hooks: None };
        let mut record = adding(actor.base, &[own], Change::Checkpoint(checkpoint));
        if state.has_revisions(actor.base) {
            record.mark_revised();
        }
        record.named = reused.into_iter().collect();
        self.commit(log, record, vec![], BTreeMap::new(), Some(all))
    }

    /// Collects; R first copies what is live where row a has its data into a new pack. Z copies all of it, with zeros for what nothing reads,
    /// and condemns the old one in the same entry.
    fn collect(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, i, head) = (turn.at.log, turn.i, self.world.head(turn.at.log));
        match actor.pc {
            Pc::Plan => self.mark(actor, turn),
            Pc::Put => turn.put(Actor { pc: Pc::Copied, ..actor }, &[own(i, 0, 'y')]),
            Pc::Copied => {
                let landed =
                    self.once(log, i, actor, |model| model.commit_forward(actor, own(i, 0, 'y'), log));
                match landed {
                    Ok(log) if actor.kind == 'Z' && self.world.rules().on(Rule::BlankCondemns) => {
                        let condemned = word(self.marks[actor.plan].repacked.keys());
                        let floor = self.world.head(log);
                        let next = Actor { pc: Pc::Delete, condemned, floor, ..actor };
                        turn.go(log, turn.at.packs, next, format_args!("forwards what it blanked"));
                    }
                    Ok(log) => turn.go(
                        log,
                        turn.at.packs,
                        Actor { pc: Pc::Condemn, ..actor },
                        format_args!("forwards what it copied"),
                    ),
                    Err(_) => turn.to(Actor { pc: Pc::Done, ..actor }, format_args!("gives up the repack")),
                }
            }
            Pc::Condemn => self.condemn(actor, turn),
            Pc::Delete => {
                let left = turn.at.packs & !actor.condemned;
                turn.go(log, left, Actor { pc: Pc::Forget, ..actor }, format_args!("deletes"));
            }
            Pc::Forget => {
                let landed = self.once(log, i, actor, |model| {
                    let state = &model.world.log(log).state;
                    let condemned = packs(actor.condemned).collect();
                    let forget = model.marks[actor.plan].forget(state, &condemned, actor.floor);
                    model.commit(
                        log,
                        record(actor.base, Change::Forget(forget)),
                        vec![],
                        BTreeMap::new(),
                        None,
                    )
                });
                if let Ok(log) = landed {
                    turn.go(
                        log,
                        turn.at.packs,
                        Actor { pc: Pc::Done, ..actor },
                        format_args!("forgets after {head}"),
                    );
                }
            }
            Pc::Commit | Pc::Done => {}
        }
    }

    fn mark(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let log = turn.at.log;
        let named = self.named(log);
        let state = &self.world.log(log).state;
        let mut mark = Mark::take(state, &named, &packs(turn.at.packs).collect());
        let source = state.end(run_of(X)).pack;
        let live = Mark::runs(state, &named).remove(&source).filter(|_| "RZ".contains(actor.kind));
        let repacks = live.is_some();
        mark.repacked.extend(live.map(|runs| (source, runs)));
        if repacks || !mark.victims.is_empty() || !mark.unnamed.is_empty() {
            let (base, victims) = (mark.seq, word(&mark.victims));
            let plan = number_of(&mut self.marks, mark);
            let pc = if repacks { Pc::Put } else { Pc::Condemn };
            turn.to(Actor { pc, base, plan, ..actor }, format_args!("marks at {base}, victims {victims:#b}"));
        }
    }

    fn commit_forward(&mut self, actor: Actor, to: u8, log: LogId) -> Result<LogId, Remedy> {
        if actor.kind == 'Z' {
            return self.commit_blank(actor, to, log);
        }
        // Each part lies where it lay, so that the first frame of every pack begins alike.
        let parts = self.marks[actor.plan].repacked.iter().flat_map(|(from, runs)| {
            let forward = |part: Range<u64>| {
                let (offset, stored) = (part.start, part.end - part.start);
                Forward { from: *from, offset, stored, to: pack(to), at: offset }
            };
            plan::joined(runs).into_iter().map(forward)
        });
        let compact = Compact { forwards: parts.collect(), ..Compact::default() };
        self.commit(log, adding(actor.base, &[to], Change::Compact(compact)), vec![], BTreeMap::new(), None)
    }

    fn commit_blank(&mut self, actor: Actor, to: u8, log: LogId) -> Result<LogId, Remedy> {
        let mark = &self.marks[actor.plan];
        let packs: BTreeSet<PackId> = mark.repacked.keys().copied().collect();
        let since = self.world.since(log, mark.seq);
        let spared =
            mark.spare(&self.world.log(log).state, packs.clone(), &since).expect("every entry was read");
        if spared != packs {
            return Err(Remedy::GiveUp);
        }
        let is_whole = mark.repacked.values().flatten().any(|run| run.stored == BOTH);
        let forward = |from: &PackId| {
            let Run { offset, .. } = run_of(X);
            Forward { from: *from, offset, stored: BOTH, to: pack(to), at: offset }
        };
        let forwards = packs.iter().map(forward).collect();
        let compact = Compact { forwards, condemned: packs.into_iter().collect(), ..Compact::default() };
        let mut record = adding(actor.base, &[to], Change::Compact(compact));
        record.must_understand = true;
        let log = self.commit(log, record, vec![], BTreeMap::new(), None)?;
        if !is_whole {
            self.blanked(log, to);
        }
        Ok(log)
    }

    fn condemn(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, i) = (turn.at.log, turn.i);
        let state = &self.world.log(log).state;
        let mark = &self.marks[actor.plan];
        let victims = mark.condemn(state, &self.world.since(log, mark.seq)).expect("every entry was read");
        let condemned = word(&victims);
        let unnamed = !mark.unnamed.is_empty();
        let floor = state.next();
        if condemned == 0 {
            let pc = if unnamed { Pc::Forget } else { Pc::Done };
            return turn
                .to(Actor { pc, condemned, floor: 0, ..actor }, format_args!("has nothing to condemn"));
        }
        let landed = self.once(log, i, actor, |model| {
            let change = Change::Condemn(Condemn { mark: actor.base, packs: victims.into_iter().collect() });
            model.commit(log, record(actor.base, change), vec![], BTreeMap::new(), None)
        });
        match landed {
            Ok(log) => {
                let next = Actor { pc: Pc::Delete, condemned, floor, ..actor };
                turn.go(log, turn.at.packs, next, format_args!("condemns {condemned:#b}"));
            }
            Err(_) => turn.to(Actor { pc: Pc::Done, ..actor }, format_args!("gives up the collection")),
        }
    }
}
