//! Versions that lose a file: they get another root, and the one they had is nobody's.

use std::collections::{BTreeMap, BTreeSet};

use datamon::catalog::Change;
use datamon::catalog::change::{Redact, Revision};

use super::actors::Turn;
use super::{Actor, BASE, Catalog, NONE, Pc, own};
use crate::models::world::{LogId, adding, frame, number, oid, repo};

impl Catalog {
    /// Takes oid `a` out of `base`, which has nothing then but a root of its own, and gives it up.
    pub fn redact(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, i, head) = (turn.at.log, turn.i, self.world.head(turn.at.log));
        let page = own(i, actor.round, 'm');
        match actor.pc {
            Pc::Plan => {
                let root = self.root(log);
                if root != NONE {
                    let next = Actor { pc: Pc::Put, base: head, borrowed: root, ..actor };
                    turn.to(next, format_args!("plans a redaction of base under {root}"));
                }
            }
            Pc::Put => turn.put(Actor { pc: Pc::Commit, ..actor }, &[page]),
            Pc::Commit => {
                let landed = self.once(log, i, actor, |model| {
                    let from = frame(actor.borrowed);
                    let bundles = vec![Revision { bundle: BASE, from, to: frame(page) }];
                    let (paths, keys) = (vec![], vec![oid(b'a')]);
                    let change = Redact { repo: repo(0), planned_on: actor.base, paths, bundles, keys };
                    let mut record = adding(actor.base, &[page], Change::Redact(change));
                    record.must_understand = true;
                    let needs = BTreeMap::from([(BASE, BTreeSet::from([page]))]);
                    model.commit(log, record, vec![], needs, None)
                });
                match landed {
                    Ok(log) => {
                        let done = Actor { pc: Pc::Done, ..actor };
                        turn.go(log, turn.at.packs, done, format_args!("redacts base"));
                    }
                    // What is made anew has another name (R16).
                    Err(_) if actor.round == 0 => {
                        let again = Actor { pc: Pc::Plan, base: 0, borrowed: NONE, round: 1, ..actor };
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

    /// The pack of the root of `base`.
    fn root(&self, log: LogId) -> u8 {
        self.world.log(log).state.bundles().get(&BASE).map_or(NONE, |base| number(base.root.pack))
    }
}
