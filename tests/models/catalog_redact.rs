//! Versions that lose a file: they get another root, and the one they had is nobody's.

use std::collections::{BTreeMap, BTreeSet};

use datamon::catalog::change::{BundleRef, Redact, Revision};
use datamon::catalog::{Change, Remedy};
use datamon::id::BundleId;

use super::actors::Turn;
use super::{Actor, BASE, Catalog, Pc, data_of, own, push, run_of};
use crate::models::world::{LogId, adding, frame, number, oid, pack, repo};

/// Whether the pack has data, of a file of `base` or of the actor that wrote it, and not pages.
fn is_data(n: u8) -> bool {
    n < 2 || n > 4 && matches!((n - 5) % 5, 1 | 4)
}

impl Catalog {
    /// Takes oid `a` (I: oid `z`) out of every bundle that has it, and gives it up: each gets a root of its own, over pages with what is left.
    /// 1 takes nothing out of any: roots and pages were lost, and are made anew of where the data lies.
    pub fn redact(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, i, head) = (turn.at.log, turn.i, self.world.head(turn.at.log));
        let (page, file) = (
            own(i, actor.round, 'm'),
            match actor.kind {
                'H' => Some(oid(b'a')),
                'I' => Some(oid(b'z')),
                _ => None,
            },
        );
        let out = file.map(|file| data_of(&file));
        match actor.pc {
            Pc::Plan if self.holders(log, out).is_empty() => {}
            Pc::Plan => {
                let next = Actor { pc: Pc::Put, base: head, ..actor };
                turn.to(next, format_args!("plans a redaction"));
            }
            Pc::Put => turn.put(Actor { pc: Pc::Commit, ..actor }, &[page]),
            Pc::Commit => {
                let landed = self.once(log, i, actor, |model| {
                    let seen = model.world.at(log, actor.base);
                    let (mut bundles, mut needs, mut named) = (vec![], BTreeMap::new(), BTreeSet::new());
                    for bundle in model.holders(seen, out) {
                        let from = model.world.log(seen).state.bundles()[&bundle].root;
                        bundles.push(Revision { bundle, from, to: frame(page) });
                        let rest = model.data(seen, bundle, out.as_slice());
                        named.extend(rest.iter().map(|n| pack(*n)));
                        needs.insert(bundle, rest.into_iter().chain([page]).collect());
                    }
                    let (paths, keys) = (vec![], file.into_iter().collect());
                    let change = Redact { repo: repo(0), planned_on: actor.base, paths, bundles, keys };
                    let mut record = adding(actor.base, &[page], Change::Redact(change));
                    record.must_understand = true;
                    record.named = named.into_iter().collect();
                    model.commit(log, record, vec![], needs, None)
                });
                match landed {
                    Ok(log) => {
                        let done = Actor { pc: Pc::Done, ..actor };
                        turn.go(log, turn.at.packs, done, format_args!("redacts"));
                    }
                    // What is made anew has another name (R16).
                    Err(_) if actor.round == 0 => {
                        let again = Actor { pc: Pc::Plan, base: 0, round: 1, ..actor };
                        turn.to(again, format_args!("plans the redaction anew"));
                    }
                    Err(_) => {
                        turn.to(Actor { pc: Pc::Done, ..actor }, format_args!("gives up the redaction"))
                    }
                }
            }
            _ => {}
        }
    }

    /// Writes a bundle of what `base` has, or had last, into pages of its own, and names no base: S right after what it has read, O
    /// anywhere, as was done once.
    pub fn copy(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, i, head) = (turn.at.log, turn.i, self.world.head(turn.at.log));
        let page = own(i, actor.round, 'm');
        let overtaken = actor.kind == 'S' && head != actor.base;
        match actor.pc {
            Pc::Plan => {
                turn.to(Actor { pc: Pc::Put, base: head, ..actor }, format_args!("reads what base has"));
            }
            Pc::Put => turn.put(Actor { pc: Pc::Commit, ..actor }, &[page]),
            // Overtaken twice, it gives up.
            Pc::Commit if overtaken && actor.round > 0 => {}
            Pc::Commit if overtaken => {
                let again = Actor { pc: Pc::Plan, base: 0, round: 1, ..actor };
                turn.to(again, format_args!("was overtaken"));
            }
            Pc::Commit => {
                let landed = self.once(log, i, actor, |model| {
                    let seen = model.world.at(log, actor.base);
                    let out: Vec<u8> = model.promised[&seen].redacted.iter().copied().collect();
                    let data = model.data(seen, BASE, &out);
                    let id = BundleId::from_bytes([2 + i as u8; 16]);
                    let (root, commit, tree) = (frame(page), None, None);
                    let it = BundleRef { id, repo: repo(0), base: None, root, commit, tree };
                    let mut record = adding(actor.base, &[page], push(repo(0), vec![], vec![it]));
                    record.named = data.iter().map(|n| pack(*n)).collect();
                    let needs = data.into_iter().chain([page]).collect();
                    model.commit(log, record, vec![], BTreeMap::from([(id, needs)]), None)
                });
                match landed {
                    Ok(log) => {
                        let done = Actor { pc: Pc::Done, ..actor };
                        turn.go(log, turn.at.packs, done, format_args!("pushes a copy of base"));
                    }
                    Err(Remedy::Restart | Remedy::RedoWithout(_)) if actor.round == 0 => {
                        let again = Actor { pc: Pc::Plan, base: 0, round: 1, ..actor };
                        turn.to(again, format_args!("reads anew"));
                    }
                    Err(_) => {}
                }
            }
            _ => {}
        }
    }

    /// Live bundles, those that have data where some is asked for.
    fn holders(&self, log: LogId, data: Option<u8>) -> Vec<BundleId> {
        let live = self.world.log(log).state.bundles().keys().copied();
        let has = |bundle: BundleId, data| self.data(log, bundle, &[]).contains(&self.end(log, data));
        live.filter(|bundle| data.is_none_or(|data| has(*bundle, data))).collect()
    }

    /// Where the data of a bundle lies, but for some of it.
    fn data(&self, log: LogId, bundle: BundleId, out: &[u8]) -> BTreeSet<u8> {
        let pages = self.pages(log, bundle).into_iter();
        let mut data: BTreeSet<u8> = pages.filter(|n| is_data(*n)).map(|n| self.end(log, n)).collect();
        data.retain(|n| out.iter().all(|out| self.end(log, *out) != *n));
        data
    }

    fn end(&self, log: LogId, n: u8) -> u8 {
        number(self.world.log(log).state.end(run_of(n)).pack)
    }
}
