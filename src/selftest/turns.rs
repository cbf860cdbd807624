//! Turns: of all machines of a simulation one goes on at a time, up to its next seam. Who is next follows from numbers that follow
//! from the seed, so a schedule can be had again.
//!
//! A machine may have several threads while it is its turn; they are one machine.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct State {
    /// Seams crossed so far, by all.
    count: u64,
    current: usize,
    /// Who waits until so many seams were crossed.
    until: Vec<u64>,
    ended: Vec<bool>,
}

impl State {
    /// Somebody who is not frozen; where all are, the one who is so for the shortest time.
    fn pick(&mut self, draw: u64) {
        let alive = (0..self.ended.len()).filter(|who| !self.ended[*who]);
        let ready: Vec<usize> = alive.clone().filter(|who| self.until[*who] <= self.count).collect();
        let next = match ready.is_empty() {
            false => Some(ready[(draw % ready.len() as u64) as usize]),
            true => alive.min_by_key(|who| self.until[*who]),
        };
        if let Some(next) = next {
            self.current = next;
        }
    }
}

/// Whose turn it is.
#[derive(Debug)]
pub struct Turns {
    state: Mutex<State>,
    changed: Vec<Condvar>,
}

impl Turns {
    /// Turns of so many machines.
    pub fn new(machines: usize, draw: u64) -> Turns {
        let mut state =
            State { count: 0, current: 0, until: vec![0; machines], ended: vec![false; machines] };
        state.pick(draw);
        Turns { state: Mutex::new(state), changed: (0..machines).map(|_| Condvar::new()).collect() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first turn of a machine.
    pub fn begin(&self, who: usize) {
        drop(self.wait(who, self.state()));
    }

    /// A seam is crossed; gives how many there were.
    pub fn cross(&self) -> u64 {
        let mut state = self.state();
        state.count += 1;
        state.count
    }

    /// It is somebody's turn, perhaps again this machine's, which is not asked before so many other seams were crossed. Gives how
    /// many were.
    pub fn pass(&self, who: usize, frozen: u64, draw: u64) -> u64 {
        let mut state = self.state();
        let before = state.count;
        state.until[who] = before + frozen;
        self.next(&mut state, draw);
        self.wait(who, state).count - before
    }

    /// A machine does nothing any more.
    pub fn end(&self, who: usize, draw: u64) {
        let mut state = self.state();
        state.ended[who] = true;
        self.next(&mut state, draw);
    }

    fn next(&self, state: &mut State, draw: u64) {
        state.pick(draw);
        self.changed[state.current].notify_all();
    }

    fn wait<'a>(&'a self, who: usize, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while state.current != who {
            state = self.changed[who].wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }
}
