//! The requests of a fetch: begun in the order of the plan, several at once, and handed on in that order.
//!
//! A request may begin when it is the next one wanted, when it is for the group that is wanted now, or as far ahead as
//! [`crate::store::Flow`] lets it: nothing in a directory, which is near, some requests in a bucket. So what hides the distance costs
//! a bounded number of bytes in memory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::decode::Answer;
use super::plan::{Part, pieces, reads};
use super::{Loaded, Source};
use crate::id::PackId;

/// One request of the plan.
struct Read {
    part: usize,
    /// Read together with the others of its part.
    grouped: bool,
    pack: PackId,
    range: Range<u64>,
    /// What of it has to be right.
    wanted: Vec<Range<u64>>,
}

impl Read {
    fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }
}

struct Queue<I: Iterator<Item = Read>> {
    todo: std::iter::Peekable<I>,
    /// Numbers, in the order of the plan: of the next request to begin, and of the next to be handed on.
    begun: usize,
    wanted: usize,
    /// The part that is being put together.
    part: usize,
    answers: BTreeMap<usize, Answer>,
    /// Bytes begun and not handed on.
    out: u64,
    ahead: u64,
    stop: bool,
}

impl<I: Iterator<Item = Read>> Queue<I> {
    /// The next request, if it may begin.
    fn begin(&mut self) -> Option<(usize, Read)> {
        let (begun, wanted, part, room) =
            (self.begun, self.wanted, self.part, self.ahead.saturating_sub(self.out));
        let read = self
            .todo
            .next_if(|it| begun == wanted || (it.grouped && it.part == part) || it.bytes() <= room)?;
        self.begun += 1;
        self.out += read.bytes();
        Some((begun, read))
    }
}

type Shared<I> = (Mutex<Queue<I>>, Condvar);

fn lock<I: Iterator<Item = Read>>(queue: &Shared<I>) -> MutexGuard<'_, Queue<I>> {
    queue.0.lock().expect("no holder of this lock panics")
}

/// The requests of a part; of a group not all that lies between the terms is wanted.
fn reads_of(at: usize, part: &Part) -> impl Iterator<Item = Read> + use<> {
    let (grouped, pieces) = match part {
        Part::Group { slices, .. } => (true, pieces(slices)),
        Part::Long(_) => (false, Default::default()),
    };
    reads(part).into_iter().map(move |(pack, range)| {
        let within = |it: &&Range<u64>| range.start <= it.start && it.end <= range.end;
        let wanted = match pieces.get(&pack) {
            Some(pieces) => pieces.iter().filter(within).cloned().collect(),
            None => vec![range.clone()],
        };
        Read { part: at, grouped, pack, range, wanted }
    })
}

/// Makes the requests of `parts` and hands their answers on.
pub fn load(source: &Source, parts: &[Part], send: &SyncSender<Loaded>) {
    let all = parts.iter().enumerate().flat_map(|(at, part)| reads_of(at, part));
    let flow = source.flow();
    let queue = Queue {
        todo: all.peekable(),
        begun: 0,
        wanted: 0,
        part: 0,
        answers: BTreeMap::new(),
        out: 0,
        ahead: flow.ahead(),
        stop: false,
    };
    let shared = &(Mutex::new(queue), Condvar::new());
    std::thread::scope(|scope| {
        // Near by one reader keeps up with those who decode, and holds the memory of one.
        let workers = if flow.ahead() == 0 { 1 } else { flow.most() };
        for _ in 0..workers {
            scope.spawn(move || work(source, shared));
        }
        for (at, part) in parts.iter().enumerate() {
            lock(shared).part = at;
            shared.1.notify_all();
            let count = reads(part).len();
            let sent = match part {
                Part::Group { .. } => {
                    let answers: Vec<Answer> = (0..count).map(|before| wait(shared, before)).collect();
                    let read = answers.iter().map(|(_, range, _)| range.end - range.start).sum();
                    let sent = send.send(Loaded::Group(answers));
                    hand_on(shared, count, read);
                    sent
                }
                Part::Long(_) => (0..count).try_for_each(|_| {
                    let (_, range, bytes) = wait(shared, 0);
                    let sent = send.send(Loaded::Piece(bytes));
                    hand_on(shared, 1, range.end - range.start);
                    sent
                }),
            };
            if sent.is_err() {
                break;
            }
        }
        lock(shared).stop = true;
        shared.1.notify_all();
    });
}

/// The answer that is wanted after `before` others.
fn wait<I: Iterator<Item = Read>>(queue: &Shared<I>, before: usize) -> Answer {
    let mut state = lock(queue);
    loop {
        let number = state.wanted + before;
        if let Some(answer) = state.answers.remove(&number) {
            return answer;
        }
        state = queue.1.wait(state).expect("no holder of this lock panics");
    }
}

/// So many answers, and bytes, are somebody else's.
fn hand_on<I: Iterator<Item = Read>>(queue: &Shared<I>, count: usize, bytes: u64) {
    let mut state = lock(queue);
    state.wanted += count;
    state.out -= bytes;
    queue.1.notify_all();
}

fn work<I: Iterator<Item = Read>>(source: &Source, queue: &Shared<I>) {
    loop {
        let mut state = lock(queue);
        let (number, Read { pack, range, wanted, .. }) = loop {
            if state.stop || state.todo.peek().is_none() {
                return;
            }
            match state.begin() {
                Some(begun) => break begun,
                None => state = queue.1.wait(state).expect("no holder of this lock panics"),
            }
        };
        drop(state);
        let bytes = source.read(pack, &range, &wanted);
        lock(queue).answers.insert(number, (pack, range, bytes.map_err(Arc::new)));
        queue.1.notify_all();
    }
}
