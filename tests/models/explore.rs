//! Breadth-first enumeration of all schedules, so that the first violation found has a shortest one.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

/// What an exploration found.
pub struct Outcome {
    /// Distinct states seen.
    pub states: usize,
    /// The violation and the steps that lead to it.
    pub violation: Option<(String, Vec<String>)>,
}

impl Outcome {
    /// Asserts that every schedule was safe.
    pub fn assert_safe(self, name: &str) {
        println!(
            "{name:40} {:8} states  {}",
            self.states,
            if self.violation.is_none() { "SAFE" } else { "VIOLATION" }
        );
        if let Some((violation, schedule)) = self.violation {
            panic!("{name}: {violation}\n  {}", schedule.join("\n  "));
        }
    }

    /// Asserts that a loss was found, and prints how.
    pub fn assert_violated(self, name: &str) {
        let (violation, schedule) = self.violation.unwrap_or_else(|| {
            panic!("{name}: no violation in {} states: the rule that is off is not needed, or the model is blind", self.states)
        });
        println!("{name:40} {:8} states  {violation}\n    {}", self.states, schedule.join("\n    "));
    }
}

/// A model: states, what is wrong with one, and what can happen in one.
pub trait Model {
    /// One state.
    type State: Clone + Eq + Hash;

    /// What is lost in a state.
    fn violation(&mut self, state: &Self::State) -> Option<String>;

    /// Reports every state that one step leads to, with what that step is called.
    fn steps(&mut self, state: &Self::State, report: &mut dyn FnMut(Self::State, fmt::Arguments<'_>));
}

/// Visits every state that `start` leads to.
pub fn explore<M: Model>(model: &mut M, start: M::State) -> Outcome {
    let mut order = vec![(start.clone(), 0)];
    let mut seen: HashMap<M::State, ()> = HashMap::from([(start, ())]);
    let mut at = 0;
    while at < order.len() {
        let state = order[at].0.clone();
        if let Some(violation) = model.violation(&state) {
            let schedule = schedule(model, &order, at);
            return Outcome { states: seen.len(), violation: Some((violation, schedule)) };
        }
        model.steps(&state, &mut |next, _| {
            if !seen.contains_key(&next) {
                seen.insert(next.clone(), ());
                order.push((next, at));
            }
        });
        at += 1;
    }
    Outcome { states: seen.len(), violation: None }
}

/// The names of the steps to a state: found by taking them once more, so that names cost nothing until they are wanted.
fn schedule<M: Model>(model: &mut M, order: &[(M::State, usize)], mut at: usize) -> Vec<String> {
    let mut names = Vec::new();
    while at > 0 {
        let (state, before) = &order[at];
        let mut name = None;
        model.steps(&order[*before].0.clone(), &mut |next, step| {
            if next == *state && name.is_none() {
                name = Some(step.to_string());
            }
        });
        names.push(name.expect("the state was reached by a step of the one before"));
        at = *before;
    }
    names.reverse();
    names
}
