//! What can go wrong, by the name under which it is counted. A class of faults that never hits in a whole run tested nothing.

use std::collections::BTreeMap;

macro_rules! kinds {
    ($($kind:ident $name:literal),* $(,)?) => {
        /// A class of faults.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs)]
        pub enum Kind { $($kind),* }

        impl Kind {
            /// Every class.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// How people call it.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name),* }
            }
        }
    };
}

kinds! {
    ErrorBefore "error before the effect",
    ErrorAfter "error after the effect",
    LostAnswer "create answered with \"exists\", though it landed",
    FalseExists "create answered with \"exists\", though nothing is there",
    Twice "request that arrives twice",
    LateCreate "create that lands later",
    Truncated "truncated body",
    Flipped "body with a flipped bit",
    WrongRange "body of another range",
    ListLacks "listing that lacks objects",
    ListStale "stale listing",
    ListRepeats "listing that repeats objects",
    ListFails "listing that fails",
    StaleHint "stale log/HEAD",
    Erases "ignored create-only",
    Slow "slow request",
    Stalled "stalled answer",
    Expired "expired credentials",
    Silent "silent store, read from its mirror",
    MirrorLost "store lost, and its mirror made one",
    StoreFull "store without space",
    DeleteLies "delete that lies",
    Foreign "foreign object",
    DiskFull "disk without space",
    DiskError "disk that fails",
    FetchedFull "disk without space for a fetched file",
    FetchedError "disk that fails below a fetched file",
    TornCache "torn or flipped cache file",
    TornJournal "torn journal",
    CacheLost "lost cache",
    Killed "killed process",
    FrozenWriter "frozen writer",
    FrozenCollector "frozen collector",
    MachineClock "clock of a machine years off",
    StoreClock "clock of the store jumps",
}

/// How often each class hit.
pub type Hits = BTreeMap<Kind, u64>;
