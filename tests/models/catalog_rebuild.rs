//! Repair: a damaged segment is built again from what pushes said.
//!
//! Rows of a push lie in its entry for ever if they are few, so here all can be read, also where their segment is gone.

use std::collections::BTreeMap;

use datamon::catalog::change::{Change, Compact};
use datamon::catalog::plan::{Deaths, held, rebuilt};
use datamon::pack::Blob;
use datamon::table::Row;

use super::actors::{Turn, number_of};
use super::{Actor, Catalog, MergePlan, Pc, own, segments};
use crate::models::world::{LogId, adding, number};

impl Catalog {
    /// Finds one of the segments damaged, and replaces it; J all but the newest at once.
    pub fn rebuild(&mut self, actor: Actor, turn: &mut Turn<'_, '_>) {
        let (log, i, head) = (turn.at.log, turn.i, self.world.head(turn.at.log));
        let out = own(i, 0, 's');
        match actor.pc {
            Pc::Plan => {
                let all = self.world.log(log).state.segments();
                let newest = all.values().map(|it| it.born).max();
                let older = all.iter().filter(|(_, it)| Some(it.born) < newest).map(|(fence, _)| *fence);
                let damaged: Vec<Vec<Blob>> = match actor.kind {
                    'J' => vec![older.collect()],
                    _ => all.keys().map(|fence| vec![*fence]).collect(),
                };
                for fences in damaged.into_iter().filter(|fences| !fences.is_empty()) {
                    let numbers: Vec<u8> = fences.iter().map(|fence| number(fence.pack)).collect();
                    let Some(plan) = self.plan_rebuild(log, fences) else { continue };
                    let plan = number_of(&mut self.merges, plan);
                    let next = Actor { pc: Pc::Put, base: head, plan, ..actor };
                    turn.to(next, format_args!("finds segments {numbers:?} damaged"));
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
                    Ok(log) => turn.go(log, turn.at.packs, done, format_args!("replaces it")),
                    Err(_) => turn.to(done, format_args!("gives up the repair")),
                }
            }
            _ => {}
        }
    }

    /// What takes the place of segments, from the whole log.
    fn plan_rebuild(&self, log: LogId, fences: Vec<Blob>) -> Option<MergePlan> {
        let node = self.world.log(log);
        let damaged: Vec<_> = fences.iter().map(|fence| node.state.segments()[fence].clone()).collect();
        let mut killed = Deaths::new();
        let mut rows: Vec<Row> = Vec::new();
        for (seq, record) in self.world.since(log, 0) {
            for (key, upto) in record.change.kills() {
                let known = killed.entry(key).or_default();
                *known = upto.max(*known);
            }
            let Change::Push(push) = &record.change else { continue };
            let promised = push.segments.iter().flat_map(|it| &node.written[&it.fence]);
            rows.extend(promised.map(|row| Row { born: seq, ..row.clone() }));
        }
        rows.retain(|row| held(node.state.rules(), &damaged, row));
        Some((fences, rebuilt(&node.state, rows, &killed, |row| Some(row.packs()))?))
    }
}
