//! A link between a client and a server of this machine: so long, so wide, and cut when a test wants it.
//!
//! What comes in at one end goes out at the other after the delay, and no faster than the rate, which all connections share, each
//! direction for itself. Bytes are counted where they go out, and requests of HTTP/1.1. A cut ends every connection of the moment; new ones are made at once.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::requests::Requests;

/// Bytes moved in one piece.
const PIECE: usize = 64 << 10;
/// Pieces on their way at once in one direction of a connection, 16 MiB: more than a link of 100 MB/s and 100 ms holds.
const UNDER_WAY: usize = 256;

/// When a link is cut, again and again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cut {
    /// Never.
    #[default]
    Never,
    /// Each time that so many more bytes went from the client to the server; the rest of a piece is lost.
    Bytes(u64),
    /// Each time that so much time has passed.
    Every(Duration),
}

/// What a link is like. The default is none at all: it only counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weather {
    /// One way; a round trip takes twice as long.
    pub delay: Duration,
    /// Bytes a second in each direction; `None` is as fast as it goes.
    pub rate: Option<u64>,
    /// When it is cut.
    pub cut: Cut,
}

/// One direction of the link.
#[derive(Default)]
struct Way {
    moved: AtomicU64,
    /// Until when it is taken by bytes that are on their way.
    taken: Mutex<Option<Instant>>,
}

impl Way {
    /// Waits for its turn on a link of `rate` bytes a second.
    fn pass(&self, bytes: usize, rate: u64) {
        let lasts = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let until = {
            let mut taken = self.taken.lock().expect("no holder of this lock panics");
            let now = Instant::now();
            let begin = taken.map_or(now, |until| until.max(now));
            *taken.insert(begin + lasts)
        };
        thread::sleep(until.saturating_duration_since(Instant::now()));
    }
}

struct State {
    weather: Weather,
    up: Way,
    down: Way,
    cuts: AtomicU64,
    requests: AtomicU64,
    /// Connections that a cut ends.
    open: Mutex<Vec<TcpStream>>,
}

impl State {
    fn cut(&self) {
        self.cuts.fetch_add(1, SeqCst);
        for stream in self.open.lock().expect("no holder of this lock panics").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many of so many bytes still go up before the link is cut, and whether it is cut then.
    fn allow(&self, bytes: usize) -> (usize, bool) {
        let before = self.up.moved.fetch_add(bytes as u64, SeqCst);
        let Cut::Bytes(every) = self.weather.cut else { return (bytes, false) };
        let left = every - before % every;
        if (bytes as u64) < left { (bytes, false) } else { (usize::try_from(left).unwrap_or(bytes), true) }
    }
}

/// A link that lasts until the process ends.
#[derive(Clone)]
pub struct Link {
    state: Arc<State>,
    port: u16,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a link at {}", self.url())
    }
}

impl Link {
    /// A link to the server at `port` of this machine.
    ///
    /// # Panics
    /// If no port can be had.
    pub fn to(port: u16, weather: Weather) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("a bound socket has an address").port();
        let (up, down, open) = (Way::default(), Way::default(), Mutex::default());
        let state =
            Arc::new(State { weather, up, down, cuts: AtomicU64::new(0), requests: AtomicU64::new(0), open });
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    connect(&shared, &client, &server);
                }
            }
        });
        if let Cut::Every(time) = weather.cut {
            let shared = Arc::downgrade(&state);
            thread::spawn(move || {
                loop {
                    thread::sleep(time);
                    let Some(state) = shared.upgrade() else { return };
                    state.cut();
                }
            });
        }
        Link { state, port: own }
    }

    /// Its near end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Bytes that went from the client towards the server so far, those lost in a cut with them.
    pub fn up(&self) -> u64 {
        self.state.up.moved.load(SeqCst)
    }

    /// Bytes that went from the server to the client.
    pub fn down(&self) -> u64 {
        self.state.down.moved.load(SeqCst)
    }

    /// Requests of HTTP/1.1 whose heads went to the server.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(SeqCst)
    }

    /// How often it was cut.
    pub fn cuts(&self) -> u64 {
        self.state.cuts.load(SeqCst)
    }
}

fn connect(state: &Arc<State>, client: &TcpStream, server: &TcpStream) {
    for stream in [client, server] {
        let _ = stream.set_nodelay(true);
        let mut open = state.open.lock().expect("no holder of this lock panics");
        open.extend(stream.try_clone());
    }
    for (from, to, is_up) in [(client, server, true), (server, client, false)] {
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
        let (send, pieces) = sync_channel(UNDER_WAY);
        thread::spawn(move || take_in(from, &send));
        let state = state.clone();
        thread::spawn(move || give_out(&state, to, is_up, &pieces));
    }
}

type Piece = (Instant, Vec<u8>);

fn take_in(mut from: TcpStream, send: &SyncSender<Piece>) {
    let mut buffer = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if send.send((Instant::now(), buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}

fn give_out(state: &State, mut to: TcpStream, is_up: bool, pieces: &Receiver<Piece>) {
    let way = if is_up { &state.up } else { &state.down };
    let mut requests = Requests::default();
    for (came, bytes) in pieces {
        if let Some(rate) = state.weather.rate {
            way.pass(bytes.len(), rate);
        }
        thread::sleep((came + state.weather.delay).saturating_duration_since(Instant::now()));
        let (length, is_cut) = match is_up {
            true => state.allow(bytes.len()),
            false => {
                way.moved.fetch_add(bytes.len() as u64, SeqCst);
                (bytes.len(), false)
            }
        };
        if is_up {
            state.requests.fetch_add(requests.pass(&bytes[..length]), SeqCst);
        }
        let gone = to.write_all(&bytes[..length]).is_err();
        if is_cut {
            state.cut();
        }
        if gone || is_cut {
            break;
        }
    }
    // The other end learns of it, and what it still says can go on.
    let _ = to.shutdown(Shutdown::Write);
}
