//! Touches, shared pages, merges, forwards, checkpoints, resumed sessions (ported from `catalog_model.py`).
//!
//! Every actor is `plan → put own packs → commit`. A commit is one step "check against the head, then create the next slot":
//! the log and slot models show that the append loop gives exactly that.
//!
//! Start: pack X holds the bytes of oid `a` in its first frame, and others in a second; segments S0 (row a/r0 → X, and many more in another range that nobody asks for) and
//! S1 (row z/r0 → Z); bundle `base` = page M0 and data X and Z (scenarios that start with `-` have no bundle). Merges decide as in
//! real life which runs they merge, and write a segment for each row; what is found is found by real lookups, which ask one
//! run after the other and stop early. Invariants, in every reachable state:
//!
//! - lost: a pushed, not dropped bundle or (oid, repo) row can be read from the folded state and the packs that exist, and a
//!   lookup of the oid finds a row that can
//! - dangling: no live segment or checkpoint is gone, no live row names bytes that are gone
//! - resurrected: no row comes back after its Drop, and no lookup finds one
//! - labelled: what a label of a live repo leads to is a live bundle, and each move of a label follows the one that its mover saw
//! - and a repo that is undeleted has all that it had when it was deleted
//! - stays: no live bundle has the data of what was taken out of all of them

#[path = "catalog_actors.rs"]
mod actors;
#[path = "catalog_rebuild.rs"]
mod rebuild;
#[path = "catalog_redact.rs"]
mod redact;
#[path = "catalog_repos.rs"]
mod repos;
#[path = "catalog_versions.rs"]
mod versions;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use datamon::catalog::change::{BundleRef, Label, Push, RepoChange, SegmentRef, TableKind};
use datamon::catalog::plan::{Finding, Mark, Merged, Named, runs};
use datamon::catalog::state::Run;
use datamon::catalog::{Change, ChangeRecord, Remedy, Rule, Rules};
use datamon::id::{BundleId, Oid, Prefix, RepoId};
use datamon::pack::Blob;
use datamon::table::{Recipe, Row, Written};

use super::explore::{Model, Outcome, explore};
use super::world::{LogId, World, adding, frame, number, oid, record, repo, row};

pub const X: u8 = 0;
pub const Z: u8 = 1;
pub const M0: u8 = 2;
pub const S0: u8 = 3;
pub const S1: u8 = 4;
/// Stored length of both frames of X.
pub const BOTH: u64 = 200;
/// No pack.
pub const NONE: u8 = 63;

/// The bundle that is there from the beginning.
pub const BASE: BundleId = BundleId::from_bytes([1; 16]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pc {
    Plan,
    Put,
    Copied,
    Commit,
    Condemn,
    Delete,
    Forget,
    Done,
}

/// One session. What it remembers is small: plans lie in the model and are named by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Actor {
    pub kind: char,
    pub pc: Pc,
    pub base: u64,
    /// How often it began anew.
    pub round: u8,
    /// The pack it borrows, or NONE.
    pub borrowed: u8,
    /// Number of its merge or mark.
    pub plan: usize,
    pub condemned: u64,
    pub floor: u64,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Schedule {
    pub log: LogId,
    pub packs: u64,
    pub actors: Vec<Actor>,
}

/// A plan of a merge: the segments that go, the rows that stay.
pub type MergePlan = (Vec<Blob>, Merged);

/// What must hold in a log: nothing, or one of the packs of each word must exist.
struct Needs {
    broken: Option<String>,
    words: Vec<(u64, String)>,
}

/// The births of rows, and the packs that bundles need.
type Rows = BTreeMap<(Oid, RepoId), u64>;
type Bundles = BTreeMap<BundleId, BTreeSet<u8>>;

/// What was acknowledged and not dropped: the specification, kept beside the log.
#[derive(Clone, Default)]
struct Promised {
    rows: Rows,
    bundles: Bundles,
    /// The seq of each label's last move, and of a move that did not follow the one before it.
    labels: BTreeMap<String, u64>,
    overtaken: Option<u64>,
    /// Data that was taken out of every bundle.
    redacted: BTreeSet<u8>,
    /// Copies that have zeros for the second frame.
    blanked: BTreeSet<u8>,
    /// When repo 0 was last deleted or undeleted, and what it had if it is deleted.
    life: u64,
    buried: Option<(Rows, Bundles)>,
}

impl Promised {
    fn moves(&mut self, label: &Label, seq: u64) {
        if label.previous != self.labels.get(&label.name).copied() {
            self.overtaken = Some(seq);
        }
        self.labels.insert(label.name.clone(), seq);
    }

    fn takes(&mut self, change: &Change, seq: u64) {
        match change {
            Change::Push(push) => push.labels.iter().for_each(|label| self.moves(label, seq)),
            Change::Drop(drop) => {
                // Who gives up a repo that is deleted has seen what it had then, and one that came back is not given up.
                let meant = if self.buried.is_some() { self.life } else { u64::MAX };
                let killed =
                    |key: &_, born: u64| drop.keys.contains(key) && born <= drop.planned_on && born < meant;
                if drop.planned_on >= self.life {
                    self.rows.retain(|key, born| !killed(key, *born));
                    self.bundles.retain(|bundle, _| !drop.bundles.contains(bundle));
                }
            }
            Change::Redact(redact) => {
                self.redacted.extend(redact.keys.iter().map(data_of));
                let killed = change.kills();
                let is_dead = |key: &_, born: u64| killed.iter().any(|(it, upto)| it == key && born <= *upto);
                self.rows.retain(|key, born| !is_dead(key, *born));
            }
            Change::Label(label) => self.moves(label, seq),
            Change::Repo(RepoChange::Delete { .. }) => {
                (self.life, self.buried) = (seq, Some((self.rows.clone(), self.bundles.clone())));
            }
            Change::Repo(RepoChange::Undelete { .. }) => {
                let (rows, bundles) = self.buried.take().unwrap_or_default();
                let of = |key: &(Oid, RepoId)| key.1 == repo(0);
                self.life = seq;
                self.rows.extend(rows.into_iter().filter(|(key, _)| of(key)));
                self.bundles.extend(bundles);
            }
            _ => {}
        }
    }
}

pub struct Catalog {
    pub world: World,
    pub merges: Vec<MergePlan>,
    pub marks: Vec<Mark>,
    /// What a commit of an actor gave, by log and actor: the answer depends on nothing else.
    commits: HashMap<(LogId, usize, Actor), Result<LogId, Remedy>>,
    promised: HashMap<LogId, Promised>,
    needs: HashMap<LogId, Needs>,
}

/// A pack that only actor `i` writes, in its round `round`.
pub fn own(i: usize, round: u8, what: char) -> u8 {
    let what = "sdmcy".find(what).expect("a kind of pack") as u8;
    5 + i as u8 * 10 + round * 5 + what
}

/// The segment that has only this row, named by its fence.
pub fn segment(fence: Blob, row: &Row) -> SegmentRef {
    let key = Prefix::from(&row.oid);
    SegmentRef::new(TableKind::Files, &Written { start: 16, fence, rows: 1, first: key, last: key })
}

/// A segment for each row, all in one pack: one run.
pub fn segments(n: u8, rows: &[Row]) -> Vec<(SegmentRef, Row)> {
    let fence = |at: u64| Blob { offset: 16 + 100 * at, ..frame(n) };
    (0..).zip(rows).map(|(at, row)| (segment(fence(at), row), row.clone())).collect()
}

pub fn push(repo: RepoId, segments: Vec<SegmentRef>, bundles: Vec<BundleRef>) -> Change {
    Change::Push(Push { repo, rows: None, segments, labels: vec![], bundles })
}

pub fn run_of(n: u8) -> Run {
    Run::from(&frame(n))
}

impl Catalog {
    fn new(rules: Rules, with_bundle: bool) -> (Catalog, LogId) {
        let world = World::new(rules);
        let (merges, marks, commits) = Default::default();
        let promised = HashMap::from([(0, Promised::default())]);
        let mut model = Catalog { world, merges, marks, commits, promised, needs: HashMap::new() };
        let base =
            BundleRef { id: BASE, repo: repo(0), base: None, root: frame(M0), commit: None, tree: None };
        let bundles: Vec<_> = with_bundle.then_some(base).into_iter().collect();
        let needs = BTreeMap::from_iter(with_bundle.then_some((BASE, BTreeSet::from([M0, X, Z]))));
        let (a, z) = (row(b'a', 0, X), row(b'z', 0, Z));
        let many = SegmentRef { rows: 100, ..segment(frame(S0), &a) };
        let made = RepoChange::Create { repo: repo(0), name: "data".to_owned() };
        let made = record(0, Change::Repo(made));
        let log = model.commit(0, made, vec![], BTreeMap::new(), None).expect("lands");
        let first = adding(1, &[X, M0, S0], push(repo(0), vec![many], bundles));
        let log = model.commit(log, first, vec![(frame(S0), vec![a])], needs, None).expect("lands");
        let second = adding(2, &[Z, S1], push(repo(0), vec![segment(frame(S1), &z)], vec![]));
        let rows = vec![(frame(S1), vec![z])];
        let log = model.commit(log, second, rows, BTreeMap::new(), None).expect("lands");
        (model, log)
    }

    /// Lets a change land and notes what it promises.
    pub fn commit(
        &mut self,
        log: LogId,
        record: ChangeRecord,
        rows: Vec<(Blob, Vec<Row>)>,
        bundles: BTreeMap<BundleId, BTreeSet<u8>>,
        blobs: Option<datamon::catalog::checkpoint::Blobs>,
    ) -> Result<LogId, Remedy> {
        let mut promised = self.promised[&log].clone();
        let seq = self.world.log(log).state.next();
        if let Change::Push(_) | Change::Redact(_) = &record.change {
            promised.rows.extend(rows.iter().flat_map(|(_, rows)| rows).map(|row| (row.key(), seq)));
            promised.bundles.extend(bundles);
        }
        promised.takes(&record.change, seq);
        let after = self.world.append(log, record, rows, blobs).map_err(|refusal| refusal.remedy())?;
        self.promised.entry(after).or_insert(promised);
        Ok(after)
    }

    /// The copy has no second frame.
    pub fn blanked(&mut self, log: LogId, copy: u8) {
        self.promised.get_mut(&log).expect("it landed").blanked.insert(copy);
    }

    /// What a commit gave before, or gives now.
    pub fn once(
        &mut self,
        log: LogId,
        i: usize,
        actor: Actor,
        commit: impl FnOnce(&mut Catalog) -> Result<LogId, Remedy>,
    ) -> Result<LogId, Remedy> {
        if let Some(known) = self.commits.get(&(log, i, actor)) {
            return known.clone();
        }
        let result = commit(self);
        self.commits.insert((log, i, actor), result.clone());
        result
    }

    /// Live rows of a log, by the segment that holds them.
    pub fn rows(&self, log: LogId) -> Vec<(Blob, Row)> {
        let node = self.world.log(log);
        let mut live = Vec::new();
        for (fence, segment) in node.state.segments() {
            let rows = node.written[fence].iter().map(|row| segment.resolve(row.clone()));
            live.extend(
                rows.filter(|row| node.state.is_live(row.oid, row.repo, row.born)).map(|row| (*fence, row)),
            );
        }
        live
    }

    /// What a lookup of an oid finds.
    pub fn find(&self, log: LogId, oid: Oid) -> Option<Row> {
        let node = self.world.log(log);
        let may_borrow = |pack| node.state.packs().contains_key(&pack);
        let mut finding = Finding::new(&node.state, repo(0), &[oid], &may_borrow);
        for run in runs(&node.state, TableKind::Files) {
            for (segment, _) in finding.ask(&run) {
                let rows = node.written[&segment.at.fence].iter();
                finding.take(rows.map(|row| segment.resolve(row.clone())));
            }
        }
        finding.finish().remove(&oid)
    }

    /// All that live rows and the pages of live bundles name.
    pub fn named(&self, log: LogId) -> BTreeSet<Named> {
        let rows = self.rows(log).into_iter().map(|(_, row)| run_in(&row));
        let live = self.world.log(log).state.bundles().keys();
        let pages = live.flat_map(|bundle| self.pages(log, *bundle)).map(run_of);
        rows.chain(pages).map(Named::Run).collect()
    }

    /// Packs that the pages of a bundle name, whether or not it was dropped.
    pub fn pages(&self, log: LogId, bundle: BundleId) -> BTreeSet<u8> {
        let mut at = log;
        loop {
            if let Some(pages) = self.promised[&at].bundles.get(&bundle) {
                return pages.clone();
            }
            at = self.world.at(at, self.world.head(at) - 1);
        }
    }

    fn needs(&self, log: LogId) -> Needs {
        let state = &self.world.log(log).state;
        let promised = &self.promised[&log];
        let mut needs = Needs { broken: None, words: Vec::new() };
        let has = |place: &&Run| place.stored < BOTH || !promised.blanked.contains(&number(place.pack));
        let word = |run: Run| {
            state.places(run).iter().filter(has).fold(0u64, |word, place| word | 1 << number(place.pack))
        };
        for (bundle, pages) in &promised.bundles {
            if !state.bundles().contains_key(bundle) {
                needs.broken = Some(format!("lost: bundle {bundle} is not in the state"));
            }
            needs.words.extend(
                pages.iter().map(|n| (word(run_of(*n)), format!("lost: bundle {bundle} needs pack {n}"))),
            );
        }
        for (bundle, n) in
            state.bundles().keys().flat_map(|it| self.pages(log, *it).into_iter().map(move |n| (it, n)))
        {
            if promised.redacted.iter().any(|gone| state.end(run_of(*gone)) == state.end(run_of(n))) {
                needs.broken = Some(format!("stays: bundle {bundle} has {n}, which was taken out"));
            }
        }
        let live = |of: &RepoId| state.repos().get(of).is_none_or(|known| !known.deleted);
        let labels = state.labels().iter().filter(|((of, _), _)| live(of));
        let mut led = labels.filter_map(|(_, at)| at.bundle);
        if let Some(gone) = led.find(|bundle| !state.bundles().contains_key(bundle)) {
            needs.broken = Some(format!("labelled: bundle {gone} was dropped"));
        }
        if let Some(seq) = promised.overtaken {
            needs.broken =
                Some(format!("labelled: entry {seq} moves a label from where it was not any more"));
        }
        let rows = self.rows(log);
        for (fence, row) in &rows {
            if !promised.rows.contains_key(&row.key()) {
                needs.broken =
                    Some(format!("resurrected: {:?} in segment {}", row.key(), number(fence.pack)));
            }
            let n = pack_of(row);
            needs.words.push((word(run_in(row)), format!("dangling: {:?} names pack {n}", row.key())));
        }
        if let Some(key) = promised.rows.keys().find(|key| !rows.iter().any(|(_, row)| row.key() == **key)) {
            needs.broken = Some(format!("lost: row {key:?}"));
        }
        for oid in [oid(b'a'), oid(b'p'), oid(b'z')] {
            match self.find(log, oid) {
                Some(row) if promised.rows.contains_key(&row.key()) => {
                    let n = pack_of(&row);
                    needs.words.push((word(run_in(&row)), format!("lost: {oid} is found in pack {n}")));
                }
                Some(row) => needs.broken = Some(format!("resurrected: {:?} is found", row.key())),
                None if promised.rows.keys().any(|(promised, _)| *promised == oid) => {
                    needs.broken = Some(format!("lost: {oid} is not found"));
                }
                None => {}
            }
        }
        let segments = state.segments().keys().map(|fence| number(fence.pack));
        needs.words.extend(segments.map(|n| (1 << n, format!("dangling: segment {n} is gone"))));
        let blobs = state.checkpoint().into_iter().flat_map(|(_, newest)| newest.blobs.values());
        let blobs = blobs.map(|blob| number(blob.at.pack));
        needs.words.extend(blobs.map(|n| (1 << n, format!("dangling: checkpoint {n} is gone"))));
        needs
    }
}

/// The data of a file of `base`.
pub fn data_of(file: &Oid) -> u8 {
    if *file == oid(b'a') { X } else { Z }
}

/// The run that the only term of a row names.
pub fn run_in(row: &Row) -> Run {
    let Recipe::Inline(terms) = &row.recipe else { panic!("rows of the model are inline") };
    Run::from(&terms[0])
}

/// The pack that the only term of a row names.
pub fn pack_of(row: &Row) -> u8 {
    number(run_in(row).pack)
}

impl Model for Catalog {
    type State = Schedule;

    fn violation(&mut self, at: &Schedule) -> Option<String> {
        if !self.needs.contains_key(&at.log) {
            let needs = self.needs(at.log);
            self.needs.insert(at.log, needs);
        }
        let needs = &self.needs[&at.log];
        let gone = || needs.words.iter().find(|(word, _)| word & at.packs == 0).map(|(_, what)| what.clone());
        needs.broken.clone().or_else(gone)
    }

    fn steps(&mut self, at: &Schedule, report: &mut dyn FnMut(Schedule, fmt::Arguments<'_>)) {
        for i in 0..at.actors.len() {
            self.step(at, i, report);
        }
    }
}

fn run(actors: &str, rules: Rules) -> Outcome {
    let (mut model, log) = Catalog::new(rules, !actors.starts_with('-'));
    let actor = |kind| Actor {
        kind,
        pc: Pc::Plan,
        base: 0,
        round: 0,
        borrowed: NONE,
        plan: 0,
        condemned: 0,
        floor: 0,
    };
    let actors = actors.trim_start_matches('-').chars().map(actor).collect();
    let packs = [X, Z, M0, S0, S1].iter().fold(0, |word, n| word | 1 << n);
    explore(&mut model, Schedule { log, packs, actors })
}

fn safe(scenarios: &[&str]) {
    for scenario in scenarios {
        run(scenario, Rules::ALL).assert_safe(&format!("catalog: all rules on, {scenario}"));
    }
}

#[test]
fn every_schedule_of_few_actors_is_safe() {
    safe(&[
        "RGB", "RRB", "RLD", "RCT", "RGT", "TDG", "BDG", "TD", "LD", "TLD", "UL", "RG", "RB", "BC", "BCT",
        "TG", "CC", "TMD", "TML", "UMLD", "TUMD", "ND", "NND", "NBD", "NDC", "NNC", "PR", "PRG", "RR",
    ]);
}

#[test]
fn every_rule_switched_off_alone_loses_something() {
    let targets = [
        (Rule::TouchNames, "TDG"),
        (Rule::BaseBundle, "BDG"),
        (Rule::BaseRoot, "HBG"),
        (Rule::DropUpto, "TD"),
        (Rule::Births, "ULD"),
        (Rule::Newest, "TLD"),
        (Rule::FoundLive, "UD"),
        (Rule::Key, "UL"),
        (Rule::OutsLive, "-RWLG"),
        (Rule::RewriteNames, "RRWG"),
        (Rule::MarkResolves, "RG"),
        (Rule::ForwardKept, "RB"),
        (Rule::ChainKept, "-RRG"),
        (Rule::CoverKept, "-PRR"),
        (Rule::GapRead, "TDGC"),
        (Rule::LedSpared, "TDRG"),
        (Rule::BlankCondemns, "-PZG"),
        (Rule::LedSpared, "-PRDGT"),
        (Rule::Covers, "BCT"),
        (Rule::KeepBase, "TG"),
        (Rule::CompactOwn, "RG"),
        (Rule::RebuiltDead, "UDLA"),
        (Rule::RebuiltBirths, "UADJ"),
        (Rule::DeletedTakes, "XTK"),
        (Rule::DroppedStays, "XKY"),
        (Rule::LifeSeen, "XYK"),
        (Rule::LabelLeads, "ND"),
        (Rule::LabelKeeps, "ND"),
        (Rule::LabelSeen, "NN"),
    ];
    for (rule, scenario) in targets {
        run(scenario, Rules::without(rule))
            .assert_violated(&format!("catalog: without {rule:?}, {scenario}"));
    }
}

/// Versions on versions on versions, of which one in between is given up.
#[test]
fn every_schedule_of_deep_trees_is_safe() {
    safe(&["VVE", "VVG", "VVEG", "VED", "VEDG", "VVDG", "VEGG", "VRE"]);
    run("VEVG", Rules::without(Rule::BaseBundle)).assert_violated("catalog: without BaseBundle, VEVG");
}

/// Frames of which a part becomes zeros while others borrow from it.
#[test]
fn every_schedule_of_blanking_is_safe() {
    safe(&[
        "Z", "PZ", "-PZ", "-PZG", "PZG", "PPZ", "TZ", "TDZ", "TDZG", "BZ", "BZG", "BDZ", "ZZ", "PZZ", "ZC",
        "PZC", "LZ", "LDZ", "-PRZ", "-PZR", "PRZG", "-WZG", "RZ", "RZG", "HZ", "HBZ", "AZ", "ZGB", "VEZ",
        "VEVZ",
    ]);
}

/// Versions that lose a file while others share their pages.
#[test]
fn every_schedule_of_redactions_is_safe() {
    safe(&[
        "H", "HB", "HBG", "HBGG", "HD", "HDG", "HDB", "HT", "HTG", "HH", "HHG", "HHB", "HC", "HCB", "HCG",
        "HRG", "HRB", "HN", "HE", "HX", "HXY", "HXYB", "HV", "HVG", "HA", "HAG", "HTA", "HUA", "HLD", "HCBG",
    ]);
    run("HBG", Rules::without(Rule::BaseRoot)).assert_violated("catalog: without BaseRoot, HBG");
    run("HB", Rules::without(Rule::BaseRoot)).assert_violated("catalog: without BaseRoot, HB");
}

/// Two redactions, one after the other, while versions are made of what was there before either. Who copies what a version has without
/// naming it is not seen by the second, and may land only where nothing came meanwhile.
#[test]
fn every_schedule_of_two_redactions_is_safe() {
    safe(&[
        "HI", "HIB", "HIV", "HIBB", "HIBV", "HIVV", "HIBD", "HIVE", "HIBG", "HIBC", "HIBX", "HIRB", "HIF",
        "HS", "HIS", "HISD", "HSVD", "HISG", "HISB",
    ]);
    for scenario in ["HO", "HIO", "HOVD"] {
        run(scenario, Rules::ALL)
            .assert_violated(&format!("catalog: a copy that lands anywhere, {scenario}"));
    }
}

/// Versions that are made anew from what git has, while others do whatever they do.
#[test]
fn every_schedule_of_versions_made_anew_is_safe() {
    safe(&[
        "1", "11", "1B", "1BG", "1BGG", "11B", "11G", "1D", "1DG", "1DB", "1T", "1TG", "1H", "1HB", "1HG",
        "1HI", "1HBG", "1C", "1CB", "1RG", "1RB", "1N", "1E", "1EG", "1V", "1VG", "1VE", "1X", "1XY", "1XK",
        "1Z", "1ZG", "1A", "1AG", "1S", "1P", "1LD",
    ]);
    run("1BG", Rules::without(Rule::BaseRoot)).assert_violated("catalog: without BaseRoot, 1BG");
    run("1H", Rules::without(Rule::BaseRoot)).assert_violated("catalog: without BaseRoot, 1H");
}

/// Repos that are deleted, come back and are given up, and labels on what goes.
#[test]
fn every_schedule_of_repos_and_labels_is_safe() {
    safe(&[
        "XT", "XB", "XN", "XYT", "XYK", "XKT", "XKN", "XKG", "XYD", "XYKT", "XYKB", "XYNK", "XKTG", "XKBG",
        "XYKG", "XXY", "XYDG", "XKC", "F", "FD", "FQ", "FF", "FQD", "FDG", "FFD", "FXK", "FXYK", "FND",
        "QQD",
    ]);
    run("FQ", Rules::without(Rule::LabelSeen)).assert_violated("catalog: without LabelSeen, FQ");
    run("FED", Rules::without(Rule::LabelKeeps)).assert_violated("catalog: without LabelKeeps, FED");
}

/// Tables that are built again from what pushes said, while others push, merge, drop and collect.
#[test]
fn every_schedule_of_repairs_is_safe() {
    safe(&[
        "A", "AT", "AD", "AL", "AM", "AG", "AA", "AW", "ADG", "ATD", "ALD", "AMD", "ARG", "AUD", "ADC", "ATL",
    ]);
    safe(&["UDLA", "UADM", "UADJ", "JTD", "JDG", "ATDG", "ALDG", "UDLG", "-ARG", "-AWRG", "AADL"]);
    run("-AWRG", Rules::without(Rule::RewriteNames)).assert_violated("catalog: without RewriteNames, -AWRG");
}

#[test]
fn every_schedule_of_four_actors_is_safe() {
    safe(&[
        "TDGG", "BDGC", "BDGG", "TULD", "TDGL", "BDRG", "LCDG", "TUDG", "TDGC", "TMDG", "UTMLD", "TMRG",
        "-PRR", "-RRG", "PDRG", "TDRG", "-PRDG",
    ]);
}

#[test]
#[ignore = "nightly"]
fn every_schedule_of_rewriting_merges_is_safe() {
    safe(&["-RWLG", "-RGGT", "RRWG", "TCCG", "TBDGC", "TLDGC", "-TWRG", "UTMDG"]);
}

#[test]
fn the_state_of_the_model_is_what_it_says() {
    let (model, log) = Catalog::new(Rules::ALL, true);
    assert_eq!(model.world.log(log).state.bundles().len(), 1);
    let rows: Vec<_> =
        model.rows(log).into_iter().map(|(_, row)| (row.key(), row.born, pack_of(&row))).collect();
    assert_eq!(rows, [((oid(b'a'), repo(0)), 2, X), ((oid(b'z'), repo(0)), 3, Z)]);
}
