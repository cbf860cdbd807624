//! Deep trees: versions whose pages come from the bases of their bases.

use std::collections::{BTreeMap, BTreeSet};

use datamon::catalog::change::{BundleRef, Drop};
use datamon::catalog::{Change, Remedy};
use datamon::id::BundleId;

use super::actors::Turn;
use super::{Actor, Catalog, NONE, Pc, own, push};
use crate::models::world::{LogId, adding, frame, record, repo};

/// The bundle of an actor, or `base`: its number stands in the place of a borrowed pack.
fn bundle(n: u8) -> BundleId {
    BundleId::from_bytes([n; 16])
}

impl Catalog {
    /// The number of the newest bundle.
    fn newest(&self, log: LogId) -> u8 {
        let bundles = self.world.log(log).state.bundles().iter();
        bundles.max_by_key(|(_, it)| it.seq).map_or(NONE, |(id, _)| id.as_bytes()[0])
    }

    /// Writes a bundle that has one page of its own, and shares all others with the newest: also those that it shares itself.
    pub fn version(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, i, head) = (turn.at.log, turn.i, self.world.head(turn.at.log));
        let share = actor.borrowed != NONE;
        let (page, data) = (own(i, actor.round, 'm'), own(i, actor.round, 'd'));
        let added = if share { vec![page] } else { vec![page, data] };
        match actor.pc {
            Pc::Plan => {
                let borrowed = self.newest(log);
                let next = Actor { pc: Pc::Put, base: head, borrowed, ..actor };
                turn.to(next, format_args!("plans a version on bundle {borrowed}"));
            }
            Pc::Put => turn.put(Actor { pc: Pc::Commit, ..actor }, &added),
            Pc::Commit => {
                let landed = self.once(log, i, actor, |model| {
                    let id = bundle(2 + i as u8);
                    let base = share.then(|| bundle(actor.borrowed));
                    let it =
                        BundleRef { id, repo: repo(0), base, root: frame(page), commit: None, tree: None };
                    let seen = model.world.at(log, actor.base);
                    let shared = base.map(|base| model.pages(seen, base)).unwrap_or_default();
                    let needs: BTreeSet<u8> = added.iter().copied().chain(shared).collect();
                    let record = adding(actor.base, &added, push(repo(0), vec![], vec![it]));
                    model.commit(log, record, vec![], BTreeMap::from([(id, needs)]), None)
                });
                match landed {
                    Ok(log) => {
                        let done = Actor { pc: Pc::Done, ..actor };
                        turn.go(log, turn.at.packs, done, format_args!("pushes its version"));
                    }
                    Err(Remedy::Restart) if actor.round == 0 => {
                        let anew = Actor { pc: Pc::Plan, base: 0, round: 1, borrowed: NONE, ..actor };
                        turn.to(anew, format_args!("restarts"));
                    }
                    Err(Remedy::BuildAlone) if actor.round == 0 => {
                        let anew = Actor { pc: Pc::Put, base: head, round: 1, borrowed: NONE, ..actor };
                        turn.to(anew, format_args!("restarts with files of its own"));
                    }
                    Err(_) => {}
                }
            }
            _ => {}
        }
    }

    /// Gives up the newest bundle.
    pub fn give_up(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, head) = (turn.at.log, self.world.head(turn.at.log));
        match actor.pc {
            Pc::Plan => {
                let borrowed = self.newest(log);
                if borrowed != NONE {
                    let next = Actor { pc: Pc::Commit, base: head, borrowed, ..actor };
                    turn.to(next, format_args!("plans to drop bundle {borrowed}"));
                }
            }
            _ => {
                let landed = self.once(log, turn.i, actor, |model| {
                    let bundles = vec![bundle(actor.borrowed)];
                    let drop = Drop { planned_on: actor.base, keys: vec![], bundles };
                    model.commit(log, record(actor.base, Change::Drop(drop)), vec![], BTreeMap::new(), None)
                });
                let done = Actor { pc: Pc::Done, ..actor };
                match landed {
                    Ok(log) => turn.go(log, turn.at.packs, done, format_args!("drops it")),
                    Err(_) => turn.to(done, format_args!("gives up the drop")),
                }
            }
        }
    }
}
