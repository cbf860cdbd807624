//! Hostile names, times every verb that writes, by the rules of POSIX and of Windows.
//!
//! In a version that a stranger made, in a directory that is uploaded, in commits that are cloned, checked out and pulled, for
//! labels, repos and contexts. Nothing is written outside the directory that was named: beside it lies a tree that stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use datamon::bundle::{
    Content, Entry, Facts, NameRules, Root, check_path, is_gits_own, not_on_windows, write_page,
};
use datamon::cache::Cache;
use datamon::catalog::Catalog;
use datamon::catalog::change::{BundleRef, Change, Push};
use datamon::git::is_context_name;
use datamon::id::{BundleId, Oid, PackKind};
use datamon::ops::bundle::{Export, export, open, upload_directory};
use datamon::ops::squash::Git;
use datamon::ops::{label, redact, repo};
use datamon::pack::{Frame, PackWriter};
use datamon::progress::Silent;
use datamon::store::memory;
use datamon::table::Recipe;
use datamon_test_support::{Hermetic, run_failing};
use sha2::{Digest, Sha256};

use crate::durability::world::{Machine, REPO, store};

/// Characters that HFS+ does not see.
const UNSEEN: [char; 17] = [
    '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}',
    '\u{202e}', '\u{206a}', '\u{206b}', '\u{206c}', '\u{206d}', '\u{206e}', '\u{206f}', '\u{feff}',
    '\u{2066}',
];

fn devices() -> Vec<Vec<u8>> {
    let mut stems: Vec<String> = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].map(str::to_owned).into();
    stems.extend((0..10).flat_map(|n| [format!("COM{n}"), format!("LPT{n}")]));
    stems.extend(["COM\u{b9}", "LPT\u{b2}", "COM\u{b3}"].map(str::to_owned));
    let forms = |stem: &String| {
        [
            stem.clone(),
            stem.to_lowercase(),
            format!("{stem}.txt"),
            format!("{stem} .x"),
            format!("dir/{stem}"),
        ]
    };
    stems.iter().flat_map(forms).map(String::into_bytes).collect()
}

fn spellings_of_dot_git() -> Vec<Vec<u8>> {
    let mut names: Vec<String> = [
        ".git",
        ".GIT",
        ".Git",
        ".gIt",
        ".giT",
        ".git.",
        ".git..",
        ".git ",
        ".git . ",
        ".git:",
        ".git::$INDEX_ALLOCATION",
        ".git:stream",
        "git~1",
        "GIT~1",
        "Git~1.",
        "git~1 ",
        "git~1:x",
        "a\\.git",
        ".git\\config",
        "x\\git~1",
    ]
    .map(str::to_owned)
    .into();
    for unseen in UNSEEN {
        names.extend([0, 1, 2, 3, 4].map(|at| format!("{}{unseen}{}", &".git"[..at], &".git"[at..])));
    }
    let inside = |name: &String| [name.clone(), format!("sub/{name}/hooks/post-checkout")];
    names.iter().flat_map(inside).map(String::into_bytes).collect()
}

fn ways_out() -> Vec<Vec<u8>> {
    [
        "..",
        "../out",
        "a/../../out",
        "a/..",
        "./a",
        "a/./b",
        ".",
        "/",
        "/etc/out",
        "//srv/x",
        "a//b",
        "a/",
        "",
        "..\\out",
        "a\\..\\..\\out",
        "\\out",
        "\\\\srv\\share\\out",
        "\\\\?\\C:\\out",
        "C:",
        "C:\\out",
        "C:out",
        "c:/out",
        "a/C:/out",
        "~/out",
        "$HOME/out",
        "%TEMP%\\out",
        "`touch out`",
        "$(touch out)",
        ";touch out",
        "|out",
        "&out",
    ]
    .map(|name| name.as_bytes().to_vec())
    .into()
}

fn odd_bytes() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = (0..0x20).chain([0x7f]).map(|byte| vec![b'a', byte, b'b']).collect();
    names.extend(
        [
            &b"\xff"[..],
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"a\xfe/b",
            b"\xe2\x80",
            b"\x80.git",
            b"\xf4\x90\x80\x80",
        ]
        .map(<[u8]>::to_vec),
    );
    let text = [
        "a\u{202e}gpj.exe",
        "\u{2066}x\u{2069}",
        "\u{200b}",
        "a\u{0}",
        "a\u{85}b",
        "\u{feff}a",
        "\u{e4}.bin",
        "a\u{308}.bin",
        "\u{fb01}",
        "\u{1f4a9}",
        "A",
        "a",
        "\u{130}",
        "\u{131}",
        "\u{df}",
        "SS",
        "\u{212a}",
        "K",
    ];
    names.extend(text.map(|name| name.as_bytes().to_vec()));
    names
}

fn odd_words() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "-",
        "--",
        "-rf",
        "--upload-pack=x",
        "-c core.fsmonitor=x",
        "@",
        "HEAD",
        "a.lock",
        "*",
        "?",
        "[a]",
        "a b",
        " a",
        "a ",
        "a.",
        "a\r",
        "a\r\n",
        "a..",
        "...",
        "a:b",
        "a::$DATA",
        "a:Zone.Identifier",
        "<a>",
        "\"a\"",
        "'a'",
        "a|b",
        "!",
        "#",
        "a\nerror: forged",
        "a\u{1b}[2J",
        ".gitmodules",
        ".GITMODULES",
        "GITMOD~1",
        ".gitmodules ",
        ".gitmod\u{200c}ules",
        ".gitattributes",
        ".lfsconfig",
        ".LFSCONFIG",
        "datamon.toml",
        "desktop.ini",
        "Thumbs.db",
        ".DS_Store",
        "._a",
        "latest",
        "branch:default",
        "label:x",
        "a@2",
        "v1@",
        "00000000-0000-0000-0000-000000000000",
        "1111111111111111111111111111111111111111",
        "refs/heads/main",
        "a/b/../c",
    ]
    .map(|name| name.as_bytes().to_vec())
    .into();
    names.extend([255, 256, 1000].map(|len| vec![b'n'; len]));
    names.extend([
        b"d/".repeat(2000),
        b"d/".repeat(2048),
        vec![b'p'; 5000],
        "\u{e4}".repeat(128).into_bytes(),
    ]);
    names
}

/// All of them, each once.
pub fn names() -> Vec<Vec<u8>> {
    let all = [devices(), spellings_of_dot_git(), ways_out(), odd_bytes(), odd_words()].concat();
    let distinct: BTreeSet<Vec<u8>> = all.into_iter().collect();
    assert!(distinct.len() >= 400, "{}", distinct.len());
    distinct.into_iter().collect()
}

/// A name as it can be printed.
pub fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(60)]).escape_default().to_string()
}

/// Everything below a folder: what it is.
pub fn listing(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a directory").flatten() {
            let (path, meta) = (entry.path(), entry.path().symlink_metadata().expect("there"));
            let bytes = match (meta.is_dir(), meta.is_symlink()) {
                (true, _) => b"a directory".to_vec(),
                (_, true) => fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes(),
                _ => fs::read(&path).expect("readable"),
            };
            if meta.is_dir() {
                open.push(path.clone());
            }
            found.insert(path, bytes);
        }
    }
    found
}

/// A folder to write into, in a tree that nobody may change.
struct Canary {
    root: tempfile::TempDir,
    before: BTreeMap<PathBuf, Vec<u8>>,
}

impl Canary {
    fn new() -> Canary {
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
        for path in ["out", "sub/.git/config", "top/out", "top/inner/.git/hooks/post-checkout", "top/inner/a"]
        {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("below"))
                .and_then(|()| fs::write(path, "untouched"))
                .expect("made");
        }
        let before = listing(root.path());
        Canary { root, before }
    }

    fn dest(&self) -> PathBuf {
        self.root.path().join("top/inner/dest")
    }

    #[track_caller]
    fn assert_untouched(&self, after: &str) {
        let mut now = listing(self.root.path());
        now.retain(|path, _| !path.starts_with(self.dest()));
        assert!(
            now == self.before,
            "{after} wrote outside: {:?}",
            now.keys().filter(|it| !self.before.contains_key(*it)).collect::<Vec<_>>()
        );
        assert!(!Path::new("/out").exists() && !Path::new("/etc/out").exists(), "{after}");
    }
}

fn content(bytes: &[u8]) -> Content {
    Content::File {
        executable: false,
        oid: Oid::from_bytes(Sha256::digest(bytes).into()),
        size: bytes.len() as u64,
        recipe: Recipe::Inline(vec![]),
    }
}

/// A version whose only page has these entries, as no program of ours would write it.
fn craft(catalog: &mut Catalog, entries: &[(&[u8], Content)]) -> BundleId {
    let entry = |(path, content): &(&[u8], Content)| Entry { path: path.to_vec(), content: content.clone() };
    let entries: Vec<Entry> = entries.iter().map(entry).collect();
    let mut pack = PackWriter::new(PackKind::Meta);
    let pages = vec![write_page(&mut pack, &Cache::none(), REPO, &entries)];
    let root = Root { id: BundleId::new(), repo: REPO, facts: Facts::default(), pages };
    let blob = pack.add(&Frame::encode(root.encode()), vec![]);
    let pack = pack.finish();
    pack.put(catalog.store()).expect("written");
    let made = BundleRef { id: root.id, repo: REPO, base: None, root: blob, commit: None, tree: None };
    let push = Push { repo: REPO, rows: None, segments: vec![], labels: vec![], bundles: vec![made] };
    let mut record = catalog.record(catalog.head().seq(), Change::Push(push));
    record.added = vec![(pack.id, pack.info)];
    catalog.commit(&record).expect("lands");
    catalog.upkeep().expect("done");
    root.id
}

fn new_catalog() -> Catalog {
    let mut catalog = Machine::new().create(&store(memory())).expect("made");
    repo::create(&mut catalog, REPO, "weather").expect("made");
    catalog
}

/// What a download of the version does.
fn download(catalog: &Catalog, id: BundleId, dest: &Path) -> Result<(), String> {
    download_by(NameRules::HERE, catalog, id, dest)
}

fn download_by(rules: NameRules, catalog: &Catalog, id: BundleId, dest: &Path) -> Result<(), String> {
    let bundle = open(catalog, id).map_err(|error| error.to_string())?;
    let wanted = Export { paths: &[], filter: &|_| true, folder: dest, force: false, rules };
    export(catalog, &bundle, &wanted, &Silent).map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_version_of_any_name_is_written_inside_or_refused() {
    let (mut catalog, canary) = (new_catalog(), Canary::new());
    let (mut written, mut refused) = (0, 0);
    for name in names() {
        let id = craft(&mut catalog, &[(&name, content(b""))]);
        match download(&catalog, id, &canary.dest()) {
            Ok(()) => {
                written += 1;
                assert!(check_path(&name).is_ok(), "{}", shown(&name));
                let there = canary.dest().join(OsStr::from_bytes(&name));
                assert!(there.is_file(), "{} is not there", shown(&name));
            }
            Err(error) => {
                refused += 1;
                assert!(error.len() < 6_000, "{}: {error}", shown(&name));
                let inside = fs::read_dir(canary.dest()).map(Iterator::count).unwrap_or(0);
                assert_eq!(inside, 0, "{} leaves something: {error}", shown(&name));
            }
        }
        canary.assert_untouched(&shown(&name));
        let _ = fs::remove_dir_all(canary.dest());
    }
    assert!(written > 200 && refused > 150, "{written} written, {refused} refused");
}

/// A version has one good name beside each, so that what is refused is seen to leave nothing.
#[test]
fn where_names_are_those_of_windows_a_version_of_any_name_is_written_inside_or_refused() {
    let (mut catalog, canary) = (new_catalog(), Canary::new());
    let (mut written, mut refused) = (0, 0);
    for name in names().into_iter().filter(|name| check_path(name).is_ok() && !name.starts_with(b"!")) {
        let mut entries = [(&b"!"[..], content(b"")), (&name, content(b""))];
        entries.sort_by_key(|(name, _)| *name);
        let id = craft(&mut catalog, &entries);
        let done = download_by(NameRules::Windows, &catalog, id, &canary.dest());
        match (done, not_on_windows(&name)) {
            (Ok(()), None) => {
                written += 1;
                assert!(canary.dest().join(OsStr::from_bytes(&name)).is_file(), "{}", shown(&name));
            }
            (Err(error), Some(why)) => {
                refused += 1;
                assert!(error.contains(why) && error.contains("leave it out"), "{}: {error}", shown(&name));
                let inside = fs::read_dir(canary.dest()).map(Iterator::count).unwrap_or(0);
                assert_eq!(inside, 0, "{} leaves something: {error}", shown(&name));
            }
            // What this file system cannot have either.
            (Err(error), None) => assert!(name.len() > 255, "{}: {error}", shown(&name)),
            (Ok(()), Some(why)) => panic!("{} is written: {why}", shown(&name)),
        }
        canary.assert_untouched(&shown(&name));
        let _ = fs::remove_dir_all(canary.dest());
    }
    assert!(written > 50 && refused > 150, "{written} written, {refused} refused");
}

#[test]
fn a_path_of_any_name_is_taken_out_of_a_version_or_refused() {
    let mut catalog = new_catalog();
    let all: BTreeSet<Vec<u8>> = names().into_iter().filter(|name| check_path(name).is_ok()).collect();
    let is_above = |name: &Vec<u8>| all.iter().any(|it| it.starts_with(&[&name[..], b"/"].concat()));
    let there: Vec<(&[u8], Content)> =
        all.iter().filter(|name| !is_above(name)).map(|name| (&name[..], content(b""))).collect();
    let id = craft(&mut catalog, &there);
    let mut left: BTreeSet<&[u8]> = there.iter().map(|(name, _)| *name).collect();
    let mut refused = 0;
    for name in names() {
        let look =
            |catalog: &Catalog| redact::plan(catalog, REPO, std::slice::from_ref(&name), &Git::Overruled);
        let planned = match look(&catalog) {
            Ok(planned) => planned,
            Err(error) => {
                refused += 1;
                assert!(check_path(&name).is_err(), "{}: {error}", shown(&name));
                assert_eq!(error.to_string().lines().count(), 1, "{}: {error}", shown(&name));
                continue;
            }
        };
        if !left.remove(&name[..]) {
            continue;
        }
        // Each takes an entry of the log; one in a dozen shows what all of them do.
        if left.len().is_multiple_of(12) {
            planned.apply(&mut catalog, &look).expect("taken out");
            let found = open(&catalog, id).expect("it keeps its id").find(&name).expect("reads");
            assert!(found.is_none(), "{} is still there", shown(&name));
        } else {
            assert!(planned.versions.iter().any(|it| it.entries.contains_key(&name)), "{}", shown(&name));
        }
    }
    assert!(left.is_empty() && refused > 100, "{} are left, {refused} refused", left.len());
}

#[test]
fn a_link_of_any_name_or_target_is_only_a_link() {
    let (mut catalog, canary) = (new_catalog(), Canary::new());
    for target in ways_out().into_iter().filter(|it| !it.is_empty()) {
        let link = Content::Link { target: target.clone() };
        let alone = craft(&mut catalog, &[(b"a", link.clone()), (b"b", content(b""))]);
        download(&catalog, alone, &canary.dest()).expect("a link is only a link");
        assert_eq!(fs::read_link(canary.dest().join("a")).expect("a link").as_os_str().as_bytes(), target);
        // What the next version has below it is not written through it.
        let below = craft(&mut catalog, &[(b"a/out", content(b""))]);
        download(&catalog, below, &canary.dest()).expect_err("a link is in the way");
        let both = craft(&mut catalog, &[(b"a", link), (b"a/out", content(b""))]);
        let error = download(&catalog, both, &canary.dest().join("new")).expect_err("damaged");
        assert!(error.contains("lies below it"), "{error}");
        canary.assert_untouched(&shown(&target));
        fs::remove_dir_all(canary.dest()).expect("made");
    }
}

#[test]
fn a_directory_of_any_names_comes_back_from_an_upload() {
    let (mut catalog, canary) = (new_catalog(), Canary::new());
    let folder = tempfile::tempdir().expect("a directory");
    let mut made = BTreeMap::new();
    // What this file system takes, each in a directory of its own so that none is in another's way.
    for (n, name) in names().into_iter().enumerate() {
        let top = folder.path().join(n.to_string());
        let inside = name.split(|byte| *byte == b'/').all(|part| ![&b""[..], b".", b".."].contains(&part));
        let path = top.join(OsStr::from_bytes(&name));
        if !inside {
            continue;
        }
        let parent = path.parent().expect("below the top").to_owned();
        if fs::create_dir_all(parent).and_then(|()| fs::write(&path, &name)).is_err() {
            continue;
        }
        let relative = path.strip_prefix(folder.path()).expect("below").as_os_str().as_bytes().to_vec();
        if check_path(&relative).is_err() {
            let error = upload_directory(&mut catalog, REPO, &top, None, Facts::default(), false, &Silent);
            let left_out = error.as_ref().is_ok_and(|made| made.skipped.len() == 1);
            assert!(left_out || error.is_err(), "{}", shown(&name));
            fs::remove_dir_all(&top).expect("made");
        } else {
            made.insert(path.strip_prefix(folder.path()).expect("below").to_owned(), name);
        }
    }
    assert!(made.len() > 200, "{}", made.len());
    let uploaded = upload_directory(&mut catalog, REPO, folder.path(), None, Facts::default(), true, &Silent);
    let uploaded = uploaded.expect("every name that may be is taken");
    assert_eq!(uploaded.entries as usize, made.len());
    download(&catalog, uploaded.bundle, &canary.dest()).expect("and comes back");
    for (path, bytes) in made {
        assert_eq!(fs::read(canary.dest().join(&path)).expect("there"), bytes, "{}", path.display());
    }
    canary.assert_untouched("a download");
}

#[test]
fn labels_repos_and_contexts_have_names_that_can_be_shown_and_typed() {
    let mut catalog = new_catalog();
    let id = craft(&mut catalog, &[(b"a", content(b""))]);
    let mut taken = 0;
    for name in names() {
        let Ok(name) = String::from_utf8(name) else { continue };
        let shown = shown(name.as_bytes());
        match label::set(&mut catalog, REPO, &name, id, label::Expected::Anything) {
            Ok(_) => {
                taken += 1;
                assert!(
                    !name.contains(char::is_control) && !name.starts_with('-') && !name.contains(".."),
                    "{shown}"
                );
                assert!(!name.contains([' ', ':', '\\', '*', '?', '[', '~', '^', '@']), "{shown}");
            }
            Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{shown}: {error}"),
        }
        match repo::check_name(&name) {
            Ok(()) => assert!(!name.contains(char::is_control) && !name.starts_with('-'), "{shown}"),
            Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{shown}: {error}"),
        }
        assert!(
            !is_context_name(&name)
                || name.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it))
        );
    }
    assert!(taken > 20, "{taken}");
    assert_eq!(label::of_repo(&catalog, REPO).count(), taken);
}

#[test]
fn windows_is_given_no_name_that_means_something_else_there() {
    let devices = devices();
    assert!(devices.iter().all(|name| not_on_windows(name).is_some()));
    for name in names() {
        let Ok(text) = std::str::from_utf8(&name) else {
            assert!(not_on_windows(&name).is_some(), "{}", shown(&name));
            continue;
        };
        let odd = text.contains(['\\', ':', '*', '?', '"', '<', '>', '|']) || text.contains(|it| it < ' ');
        let dropped = text.split('/').any(|part| part.ends_with(['.', ' ']));
        assert!(!(odd || dropped) || not_on_windows(&name).is_some(), "{}", shown(&name));
    }
}

#[test]
fn git_refuses_what_we_take_for_its_own() {
    let env = Hermetic::new();
    let repo = env.init("names");
    for key in ["core.protectHFS", "core.protectNTFS"] {
        repo.git(["config", key, "true"]);
    }
    for name in names().into_iter().filter(|name| !name.contains(&0) && !name.contains(&b'\n')) {
        let mut command = env.command("git");
        command.current_dir(repo.dir()).args(["update-index", "--add", "--cacheinfo"]);
        command.arg("100644").arg("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391").arg(OsStr::from_bytes(&name));
        let taken = command.stderr(Stdio::null()).status().expect("git runs").success();
        let own = name.split(|byte| *byte == b'/').any(is_gits_own);
        assert!(!(own && taken), "git takes {}", shown(&name));
        // What git refuses, no version of ours has, but for what only a file system of another kind is asked about.
        if !taken && check_path(&name).is_ok() {
            repo.git(["read-tree", "--empty"]);
            let again = run_failing(command.stderr(Stdio::piped()));
            assert!(
                again.stderr.contains("nvalid path") && name.len() > 4000,
                "{}: {}",
                shown(&name),
                again.stderr
            );
        }
        repo.git(["read-tree", "--empty"]);
    }
}
