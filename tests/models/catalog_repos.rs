//! Repos that are deleted, undeleted and given up.

use std::collections::BTreeMap;

use datamon::catalog::Change;
use datamon::catalog::change::{Drop, RepoChange};
use datamon::id::BundleId;

use super::actors::Turn;
use super::{Actor, Catalog, Pc};
use crate::models::world::{record, repo};

impl Catalog {
    /// X deletes repo 0, Y brings it back: as soon as that may land.
    pub fn live(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, head) = (turn.at.log, self.world.head(turn.at.log));
        let (change, what) = match actor.kind {
            'X' => (RepoChange::Delete { repo: repo(0) }, "deletes the repo"),
            _ => (RepoChange::Undelete { repo: repo(0) }, "undeletes the repo"),
        };
        let landed = self.once(log, turn.i, actor, |model| {
            model.commit(log, record(head, Change::Repo(change)), vec![], BTreeMap::new(), None)
        });
        if let Ok(log) = landed {
            turn.go(log, turn.at.packs, Actor { pc: Pc::Done, ..actor }, format_args!("{what}"));
        }
    }

    /// Gives up all that repo 0 has, once it is deleted: its rows in one entry, its bundles in another. What is planned is what it
    /// had at the base.
    pub fn drop_repo(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, head) = (turn.at.log, self.world.head(turn.at.log));
        let deleted = self.world.log(log).state.repos().get(&repo(0)).is_some_and(|it| it.deleted);
        if actor.pc == Pc::Plan {
            if deleted {
                turn.to(Actor { pc: Pc::Put, base: head, ..actor }, format_args!("plans to drop the repo"));
            }
            return;
        }
        let rows = actor.pc == Pc::Put;
        let landed = self.once(log, turn.i, actor, |model| {
            let seen = model.world.at(log, actor.base);
            let keys = model.rows(seen).into_iter().map(|(_, row)| row.key()).filter(|key| key.1 == repo(0));
            let bundles: Vec<BundleId> = model.world.log(seen).state.bundles().keys().copied().collect();
            let drop = Drop {
                planned_on: actor.base,
                keys: if rows { keys.collect() } else { vec![] },
                bundles: if rows { vec![] } else { bundles },
            };
            model.commit(log, record(actor.base, Change::Drop(drop)), vec![], BTreeMap::new(), None)
        });
        let next = Actor { pc: if rows { Pc::Commit } else { Pc::Done }, ..actor };
        match landed {
            Ok(log) => turn.go(log, turn.at.packs, next, format_args!("drops what the repo had")),
            Err(_) => turn.to(Actor { pc: Pc::Done, ..actor }, format_args!("gives up the drop")),
        }
    }
}
