//! Mirror: the objects of a store at another place, under the same names, kept up by the log (ADR 20).
//!
//! A mirror is no store: it has no `datamon.json`, so nobody pushes to it, and a log that two write to cannot come about. `mirror.json`
//! says of which store it is. Who reads asks it for what the store does not give (`store/copies`).
//!
//! What names comes after what is named, so that the log of a mirror never leads to a pack that it was not given. The log is copied entry by
//! entry and its newest entry says what is there already: what an entry after it added is copied, and what one after it lets go of (a
//! Forget) is removed right before that entry is copied. Whatever is written is verified before: something damaged would take the place of
//! what is sound for ever. A damaged pack is passed over and told of, and a mark is left in the mirror before its log leads there, so that
//! the next copy compares everything, whoever is killed in between.

mod log;
mod packs;
mod promote;

use std::collections::BTreeSet;

use bytes::Bytes;

use self::packs::Stock;
use crate::catalog::entry::BadEntry;
use crate::catalog::identity::BadIdentity;
use crate::catalog::{Catalog, CatalogError, Identity, head};
use crate::id::{Nonce, StoreId};
use crate::progress::Progress;
use crate::store::{Store, StoreError, key};

pub use promote::{Promoted, promote};

/// Times that an object is read that is not as it was written.
const READS: usize = 2;

/// Why a place is no mirror of a store.
#[derive(Debug, thiserror::Error)]
pub enum NotMirrored {
    /// One of the two does not answer, or is damaged.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// There is a store.
    #[error("{url} is a store itself")]
    IsStore {
        /// Where.
        url: String,
    },
    /// A mirror of something else is there.
    #[error("{url} is a mirror of another store ({store})")]
    Another {
        /// Where.
        url: String,
        /// Of which store.
        store: StoreId,
    },
    /// Something else is there.
    #[error("{url} is not empty, and no mirror ({key} is there)")]
    NotEmpty {
        /// Where.
        url: String,
        /// What.
        key: String,
    },
    /// Nothing is where a mirror should be.
    #[error("there is no mirror at {url}: nothing is there")]
    Gone {
        /// Where.
        url: String,
    },
    /// There is no mirror.
    #[error("{url} is no mirror of any store: `git datamon mirror list` shows those that there are")]
    None {
        /// Where.
        url: String,
    },
    /// Its first copy was never complete.
    #[error(
        "{url} is a mirror that was never complete: `git datamon mirror sync` goes on, while the store is there"
    )]
    Unfinished {
        /// Where.
        url: String,
    },
    /// It has entries that the store has not.
    #[error(
        "entry {seq} of the log is another one in the mirror {url} than in the store, or only there: one of the two was rolled back or damaged; nothing was changed. Run `git datamon fsck`; if the store is right, mirror it to a place where nothing is"
    )]
    Diverged {
        /// Where.
        url: String,
        /// The newest entry of the mirror.
        seq: u64,
    },
    /// An entry of its log cannot be read.
    #[error("{source:#}: in the mirror {url}; `git datamon mirror sync --verify` writes it anew")]
    Damaged {
        /// Where.
        url: String,
        /// Which, and what is wrong with it.
        source: BadEntry,
    },
}

impl From<StoreError> for NotMirrored {
    fn from(error: StoreError) -> Self {
        NotMirrored::Catalog(error.into())
    }
}

/// What of a mirror is held against the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compare {
    /// What came since its newest entry.
    New,
    /// Every pack, by its size.
    Sizes,
    /// Every object, by its bytes.
    Bytes,
}

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Synced {
    /// Objects written.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that were there.
    pub was_there: u64,
    /// Packs removed, which the store has let go of.
    pub removed: u64,
    /// The newest entry that the mirror has now.
    pub head: u64,
    /// Objects of the mirror that were read back and are as they were written.
    pub verified: u64,
    /// Their bytes.
    pub verified_bytes: u64,
    /// Objects of the mirror that were not as they were written, and what was wrong with them: they are now.
    pub mended: Vec<(String, String)>,
    /// The bytes of those.
    pub mended_bytes: u64,
    /// Objects that the store cannot give as they were written, and why: the mirror lacks them.
    pub lacking: Vec<(String, String)>,
}

impl Synced {
    fn wrote(&mut self, bytes: u64) {
        (self.objects, self.bytes) = (self.objects + 1, self.bytes + bytes);
    }

    fn mended(&mut self, name: String, bytes: u64, why: String) {
        self.wrote(bytes);
        self.mended.push((name, why));
        self.mended_bytes += bytes;
    }

    fn was_there(&mut self, bytes: u64, is_read: bool) {
        self.was_there += 1;
        if is_read {
            self.verified(bytes);
        }
    }

    fn verified(&mut self, bytes: u64) {
        (self.verified, self.verified_bytes) = (self.verified + 1, self.verified_bytes + bytes);
    }
}

/// How far a mirror is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its newest entry; none before the first copy was complete.
    pub head: Option<u64>,
    /// Entries of the store that it lacks.
    pub behind: u64,
    /// Whether an earlier copy had to pass over packs that its entries lead to.
    pub lacking: bool,
}

/// How far the mirror at a place is; it has to be one of this store.
pub fn standing(from: &Catalog, to: &Store) -> Result<Standing, NotMirrored> {
    if !is_mirror(from, to)? {
        return Err(lack_of(to)?);
    }
    let had = Had::of(to)?;
    let head = had.newest.filter(|_| had.is_complete());
    let entries = from.head().seq() + 1;
    let there = head.map_or(0, |newest| newest + 1);
    Ok(Standing { head, behind: entries.saturating_sub(there), lacking: !had.marks.is_empty() })
}

/// Refuses a place where no mirror was begun: a disk that is not mounted and a name that was typed wrong look just like one to begin at.
/// What an interrupted first copy left is gone on with.
pub fn expect(to: &Store) -> Result<(), NotMirrored> {
    if to.size(key::MIRROR)?.is_some() { Ok(()) } else { Err(lack_of(to)?) }
}

/// What is where a mirror should be.
fn lack_of(to: &Store) -> Result<NotMirrored, NotMirrored> {
    refuse_store(to)?;
    let url = to.url().to_string();
    Ok(match found(to)? {
        Some(key) => NotMirrored::NotEmpty { url, key },
        None => NotMirrored::Gone { url },
    })
}

/// Something that lies at a place, if anything does.
fn found(to: &Store) -> Result<Option<String>, StoreError> {
    Ok(to.list("", "")?.into_iter().map(|it| it.key).find(|key| !key.starts_with(key::PROBE)))
}

/// Copies what the mirror lacks, by what the log says since its newest entry, and what is found damaged in it.
pub fn sync(
    from: &mut Catalog,
    to: &Store,
    compare: Compare,
    progress: &dyn Progress,
) -> Result<Synced, NotMirrored> {
    let mut done = Synced::default();
    begin(from, to, compare, &mut done)?;
    // Others copy too: what is there is looked at before the store is, or it would be ahead of what is seen of the store.
    let had = Had::of(to)?;
    let compare = if had.has_hint && had.marks.is_empty() { compare } else { compare.max(Compare::Sizes) };
    let listed = if compare > Compare::New { Some(packs::list(to)?) } else { None };
    from.refresh()?;
    if let Some(newest) = had.newest {
        match compare == Compare::Bytes || had.doubts_log() {
            true => log::mend(from, to, newest, &mut done)?,
            false => log::check_same(from, to, newest)?,
        }
        if had.is_complete() && !had.has_hint {
            put_hint(to, newest)?;
        }
    }
    // Without a hint nothing says how far all that the entries lead to is there, and that none of them lacks.
    let mut next = had.newest.filter(|_| had.has_hint).map_or(0, |newest| newest + 1);
    let mut stock = Stock { listed: listed.as_ref(), compare, doubted: &had.doubted };
    let (mut marks, mut told) = (Vec::new(), 0);
    loop {
        let head = from.head().seq();
        let (added, gone) = packs::added_since(from, next)?;
        let wanted = if stock.listed.is_some() { from.state().packs() } else { &added };
        packs::carry(from.store(), to, wanted, &stock, progress, &mut done)?;
        // Until all entries are there, some may lead to what is given up, or lies elsewhere by now; and what an interrupted first copy left
        // is looked for at the end.
        let unsure = marks.is_empty() && (gone || !had.has_hint);
        if unsure || done.lacking.len() > told {
            marks.push(leave_mark(to, &done.lacking)?);
            told = done.lacking.len();
        }
        if next <= head {
            // Who makes a store of the place sees the mark then, or is seen here.
            refuse_store(to)?;
            log::carry(from, to, next..=head, had.has_hint, &mut done)?;
        }
        stock = Stock { listed: None, compare: Compare::New, ..stock };
        (next, done.head) = (head + 1, head);
        from.refresh()?;
        if from.head().seq() == head {
            break;
        }
    }
    if let Some(listed) = &listed {
        packs::remove_forgotten(from, to, listed)?;
    }
    // What a collection took meanwhile is no loss.
    let is_lost =
        |name: &str| key::pack_id(name).is_none_or(|(_, id)| from.state().packs().contains_key(&id));
    done.lacking.retain(|(name, _)| is_lost(name));
    let answered = if done.lacking.is_empty() { marks } else { vec![] };
    had.marks.iter().chain(&answered).try_for_each(|mark| to.delete(mark))?;
    Ok(done)
}

/// What there is of a copy before this one.
#[derive(Debug, Default)]
struct Had {
    /// The newest entry.
    newest: Option<u64>,
    /// Whether `log/HEAD` leads there: it is written when a first copy is complete.
    has_hint: bool,
    /// What says that the mirror lacks something that its log leads to.
    marks: Vec<String>,
    /// What was damaged there, and the store could not give.
    doubted: BTreeSet<String>,
}

impl Had {
    /// The entries are looked at before the marks are: who copies for the first time leaves a mark, then entries, then a hint, and takes
    /// the mark away then.
    fn of(to: &Store) -> Result<Had, StoreError> {
        let hint = to.get(key::HEAD)?.unwrap_or_default();
        let hint = std::str::from_utf8(&hint).ok().and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
        let there = |seq| to.size(&key::log(seq)).map(|size| size.is_some());
        // It has no checksum: one that leads nowhere is no hint.
        let hint = match hint {
            Some(hint) if there(hint)? => Some(hint),
            _ => None,
        };
        let known = match hint {
            Some(hint) => Some(hint),
            None => head::newest(to.list(key::LOG, "")?.iter().filter_map(|it| key::log_seq(&it.key))),
        };
        let newest = known.map(|known| match head::find(Some(known), there) {
            Ok(newest) => Ok(newest),
            Err(head::NoHead::Probe(error)) => Err(error),
            Err(head::NoHead::NoLog) => Ok(known),
        });
        let (newest, has_hint, marks) = (newest.transpose()?, hint.is_some(), marks(to)?);
        let said = marks.iter().map(|mark| Ok(to.get(mark)?.unwrap_or_default()));
        let said = said.collect::<Result<Vec<Bytes>, StoreError>>()?;
        let names = said.iter().filter_map(|said| std::str::from_utf8(said).ok()).flat_map(str::lines);
        let is_object = |name: &&str| key::pack_id(name).is_some() || key::log_seq(name).is_some();
        let doubted = names.filter(is_object).map(str::to_owned).collect();
        Ok(Had { newest, has_hint, marks, doubted })
    }

    fn doubts_log(&self) -> bool {
        self.doubted.iter().any(|name| key::log_seq(name).is_some())
    }

    /// Whether a first copy was complete. Where there are entries and neither a hint nor a mark, the hint was lost since.
    fn is_complete(&self) -> bool {
        self.has_hint || (self.newest.is_some() && self.marks.is_empty())
    }
}

/// Says where the newest entry is.
fn put_hint(to: &Store, newest: u64) -> Result<(), StoreError> {
    to.overwrite(key::HEAD, format!("{newest:016x}\n").into())
}

/// Whether a mirror of this store is there already.
fn is_mirror(from: &Catalog, to: &Store) -> Result<bool, NotMirrored> {
    refuse_store(to)?;
    let url = || to.url().to_string();
    let Some(bytes) = to.get(key::MIRROR)? else { return Ok(false) };
    let bad = |source: BadIdentity| CatalogError::Identity { url: url(), source };
    let store = Identity::decode(&bytes).map_err(bad)?.store;
    if store == from.identity().store { Ok(true) } else { Err(NotMirrored::Another { url: url(), store }) }
}

/// Somebody may have made a store of the place.
fn refuse_store(to: &Store) -> Result<(), NotMirrored> {
    match to.size(key::STORE)? {
        Some(_) => Err(NotMirrored::IsStore { url: to.url().to_string() }),
        None => Ok(()),
    }
}

/// The place is a mirror of this store from now on.
fn begin(from: &mut Catalog, to: &Store, compare: Compare, done: &mut Synced) -> Result<(), NotMirrored> {
    match is_mirror(from, to) {
        Ok(true) if compare < Compare::Bytes => return Ok(()),
        Ok(true) => return mend_identity(from, to, done),
        Ok(false) => {}
        // It is a mirror of that store whose log it has.
        Err(NotMirrored::Catalog(CatalogError::Identity { .. }))
            if compare == Compare::Bytes && has_log_of(from, to)? =>
        {
            return mend_identity(from, to, done);
        }
        Err(error) => return Err(error),
    }
    if let Some(key) = found(to)? {
        // It may have become one meanwhile.
        return match is_mirror(from, to)? {
            true => Ok(()),
            false => Err(NotMirrored::NotEmpty { url: to.url().to_string(), key }),
        };
    }
    to.probe()?;
    // Who makes the same mirror now writes the same.
    Ok(to.create_own(key::MIRROR, from.identity().encode().into())?)
}

fn has_log_of(from: &mut Catalog, to: &Store) -> Result<bool, NotMirrored> {
    let newest = Had::of(to)?.newest;
    from.refresh()?;
    Ok(newest.is_some_and(|newest| log::check_same(from, to, newest).is_ok()))
}

/// Writes again what says of which store the mirror is.
fn mend_identity(from: &Catalog, to: &Store, done: &mut Synced) -> Result<(), NotMirrored> {
    let written = |bytes: &Bytes| match from.identity().is_written(bytes) {
        true => Ok(()),
        false => Err("its bytes are not those that were written".to_owned()),
    };
    let bytes = from.identity().encode();
    let size = bytes.len() as u64;
    match read_back(to, key::MIRROR, written)? {
        Ok(()) => done.verified(size),
        Err(why) => {
            // Who made a store of it has taken that away.
            refuse_store(to)?;
            to.overwrite(key::MIRROR, bytes.into())?;
            done.mended(key::MIRROR.to_owned(), size, why);
        }
    }
    Ok(())
}

/// What says that the mirror lacks something that its log leads to.
fn marks(to: &Store) -> Result<Vec<String>, StoreError> {
    let is_mark = |key: &String| key.strip_prefix(key::LACKING).is_some_and(|it| it.parse::<Nonce>().is_ok());
    Ok(to.list(key::LACKING, "")?.into_iter().map(|it| it.key).filter(is_mark).collect())
}

/// Says that the mirror lacks something: what of it is there and damaged will be read back then.
fn leave_mark(to: &Store, lacking: &[(String, String)]) -> Result<String, StoreError> {
    let name = format!("{}{}", key::LACKING, Nonce::new());
    let said = lacking.iter().fold("compare all\n".to_owned(), |said, (name, _)| said + name + "\n");
    to.create_own(&name, Bytes::from(said).into())?;
    Ok(name)
}

/// An object of the mirror, as this makes it of its bytes; else why it is not as it was written.
fn read_back<T>(
    to: &Store,
    name: &str,
    check: impl Fn(&Bytes) -> Result<T, String>,
) -> Result<Result<T, String>, StoreError> {
    let mut why = String::new();
    for _ in 0..READS {
        match to.get(name) {
            Ok(Some(bytes)) => match check(&bytes) {
                Ok(whole) => return Ok(Ok(whole)),
                Err(error) => why = error,
            },
            Ok(None) => return Ok(Err("it is missing".to_owned())),
            // As of a disk that cannot read this one.
            Err(error) if error.is_of_object() => why = error.to_string(),
            Err(error) => return Err(error),
        }
    }
    Ok(Err(why))
}
