//! Good inputs for the targets, made by the program itself: `bless_corpora` writes them into `fuzz/corpus`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use datamon::bundle::{Content, Entry, Facts, Root, write_page};
use datamon::cache::Cache;
use datamon::catalog::change::{Change, Redact, Revision};
use datamon::catalog::{Entry as LogEntry, Identity, Landed, checkpoint};
use datamon::id::{BundleId, ChunkId, EntryHash, GitId, Oid, PackId, PackKind, RepoId, StoreId};
use datamon::ops::lineage::{BundleRecord, LabelRecord, Record};
use datamon::ops::readlog::Read;
use datamon::ops::receipt::Receipt;
use datamon::pack::{Blob, Frame, PackWriter, decode_exact};
use datamon::store::{key, memory};
use datamon::table::{Recipe, decode_rows, write_segment};
use datamon_test_support::{seeded_bytes, seeded_numbers};
use serde_bytes::ByteBuf;

use super::fuzz::TARGETS;
use crate::durability::world::{Machine, Shelf, push, store};

type Seeds = BTreeMap<&'static str, Vec<Vec<u8>>>;

/// Bytes before the body of a log entry.
const ENTRY_HEADER: usize = 44;

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/format-1").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn of_the_log(seeds: &mut Seeds) {
    let (store, machine, mut shelf) = (store(memory()), Machine::new(), Shelf::new());
    let mut catalog = machine.create(&store).expect("made");
    let oids = [shelf.put(&seeded_bytes(1, 5_000)), shelf.put(b"text")];
    push(&mut catalog, &shelf.files(&oids)).expect("pushed");
    assert!(catalog.write_checkpoint().expect("written"));
    push(&mut catalog, &shelf.files(&oids)).expect("pushed");
    let stored: Vec<Vec<u8>> = (0..=catalog.head().seq())
        .map(|seq| store.get(&key::log(seq)).expect("reads").expect("there").to_vec())
        .chain([golden("log-entry.bin")])
        .collect();
    seeds.insert("log_entry", stored.iter().map(|bytes| bytes[ENTRY_HEADER..].to_vec()).collect());
    let last = LogEntry::decode(11, &golden("log-entry.bin")).expect("golden");
    let changes =
        (0..11).filter_map(|seq| last.carried(seq).map(<[u8]>::to_vec)).chain([last.change().to_vec()]);
    // What the golden entry has not: it is from before files could be taken out of versions.
    let root = Blob { pack: PackId::from_bytes([5; 16]), offset: 16, stored: 99 };
    let bundles = vec![Revision {
        bundle: BundleId::from_bytes([6; 16]),
        from: root,
        to: Blob { offset: 115, ..root },
    }];
    let (repo, paths) = (RepoId::from_bytes([3; 16]), vec![ByteBuf::from(b"people".to_vec())]);
    let gone = Redact { repo, planned_on: 3, paths, bundles, keys: vec![oids[0]] };
    let mut redact = catalog.record(3, Change::Redact(gone));
    redact.must_understand = true;
    seeds.insert("change", changes.chain([redact.encode()]).collect());
    // As the target numbers them.
    let kinds =
        ["packs", "segments", "bundles", "commits", "labels", "repos", "drops", "condemned", "forwards"];
    let blobs = checkpoint::encode(catalog.state(), None);
    let numbered = blobs.iter().map(|(kind, blob)| {
        let number = kinds.iter().position(|known| known == kind).expect("a known kind");
        [&[number as u8][..], blob].concat()
    });
    seeds.insert("checkpoint", numbered.collect());
    seeds.insert("identity", vec![Identity::new().encode()]);
}

fn of_tables(seeds: &mut Seeds) {
    let rows = golden("rows.bin");
    seeds.insert("terms", vec![golden("terms.bin")]);
    seeds.insert("hooks_block", vec![golden("hooks.bin")]);
    seeds.insert("hooks_fence", vec![golden("hooks-fence.bin")]);
    let mut pack = PackWriter::new(PackKind::Meta);
    let written = write_segment(&mut pack, &mut decode_rows(&rows).expect("golden"), &Cache::none());
    let bytes = pack.finish().payload.to_bytes();
    let fence = &bytes[written.fence.offset as usize..written.fence.end() as usize];
    seeds.insert("files_fence", vec![decode_exact(fence).expect("a frame")]);
    seeds.insert("rows", vec![rows]);
}

fn of_packs(seeds: &mut Seeds) {
    let contents = [seeded_bytes(3, 700), b"a line of text\n".repeat(60), seeded_numbers(4, 4_000), vec![]];
    let frames: Vec<Frame> = contents.iter().map(Frame::encode).collect();
    seeds.insert("frame", frames.iter().map(|frame| frame.bytes().to_vec()).collect());
    let mut pack = PackWriter::new(PackKind::Data);
    for (raw, frame) in contents.iter().zip(&frames).take(3) {
        let chunks = raw.chunks(500).map(|chunk| (ChunkId::of(chunk), chunk.len() as u32)).collect();
        pack.add(frame, chunks);
    }
    let pack = pack.finish();
    let bytes = pack.payload.to_bytes().to_vec();
    seeds.insert("footer", vec![bytes[bytes.len() - pack.info.footer as usize..].to_vec()]);
    seeds.insert("pack", vec![bytes]);
}

fn of_versions(seeds: &mut Seeds) {
    let repo = RepoId::from_bytes([3; 16]);
    let Some(row) = decode_rows(&golden("rows.bin")).expect("golden").into_iter().next() else { return };
    let file =
        |executable| Content::File { executable, oid: row.oid, size: row.size, recipe: row.recipe.clone() };
    let empty = Content::File {
        executable: false,
        oid: Oid::from_bytes([1; 32]),
        size: 0,
        recipe: Recipe::Inline(vec![]),
    };
    let commit = GitId::from_slice(&[9; 20]).expect("twenty");
    let entries: Vec<Entry> = [
        (&b"a"[..], file(false)),
        (b"b/c", file(true)),
        (b"b/d", Content::Link { target: b"../a".to_vec() }),
        (b"e", Content::Module { commit }),
        (b"f \xff", empty),
    ]
    .into_iter()
    .map(|(path, content)| Entry { path: path.to_vec(), content })
    .collect();
    let mut pack = PackWriter::new(PackKind::Meta);
    let page = write_page(&mut pack, &Cache::none(), repo, &entries);
    let facts = Facts {
        message: "a version".to_owned(),
        parents: vec![BundleId::from_bytes([7; 16])],
        contributors: vec!["A <a@example.org>".to_owned()],
        commit: Some(commit),
        tree: GitId::from_slice(&[8; 32]),
        path: b"data".to_vec(),
        include: Some("lfs".to_owned()),
        time: 1 << 40,
        ..Facts::default()
    };
    let root = Root { id: BundleId::from_bytes([6; 16]), repo, facts, pages: vec![page.clone()] };
    seeds.insert("bundle_root", vec![root.encode()]);
    let bytes = pack.finish().payload.to_bytes();
    let frame = &bytes[page.blob.offset as usize..page.blob.end() as usize];
    seeds.insert("bundle_page", vec![decode_exact(frame).expect("a frame")]);
    let paths = ["a", "a/b/c", "..a", ".gitignore", "a b", "\u{e4}", "CON", "a\\b", "-"];
    seeds.insert("bundle_path", paths.map(|path| path.as_bytes().to_vec()).into());
}

fn of_this_machine(seeds: &mut Seeds) {
    let folder = tempfile::tempdir().expect("a directory");
    let scope = folder.path().join("scope");
    Cache::at(scope.clone()).put("kept", b"what was kept");
    seeds.insert("cache_file", vec![fs::read(scope.join("kept")).expect("kept")]);
    seeds.insert("journal", vec![[&7u64.to_le_bytes()[..], b"an entry"].concat()]);
    let who = Some("A. Reader <reader@example.org>".to_owned());
    let read =
        Read { time: 1_760_000_000_000, who, ..Read::new("checkout", RepoId::from_bytes([7; 16]), 3, 4_000) };
    seeds.insert("read", vec![serde_json::to_vec(&read).expect("plain values always encode")]);
    let mut receipt = Receipt::new(StoreId::from_bytes([1; 16]), "file:///srv/data", RepoId::NIL);
    receipt.add(Landed { seq: 7, hash: EntryHash::NONE }, [Oid::from_bytes([2; 32])]);
    receipt.write(&folder.path().join("receipt")).expect("written");
    seeds.insert("receipt", vec![fs::read(folder.path().join("receipt")).expect("written")]);
}

fn of_repositories(seeds: &mut Seeds) {
    let (bundle, repo) = (BundleId::from_bytes([6; 16]), RepoId::from_bytes([3; 16]));
    let store = StoreId::from_bytes([1; 16]).to_string();
    let records = [
        Record::Bundle(BundleRecord {
            id: bundle,
            repo,
            store: store.clone(),
            commit: Some("1".repeat(40)),
            tree: None,
            parents: vec![bundle],
            contributor: Some("A <a@example.org>".to_owned()),
            time: 1,
        }),
        Record::Label(LabelRecord {
            name: "v1".to_owned(),
            repo,
            store,
            seq: 9,
            bundle: Some(bundle),
            previous: None,
            who: None,
            when: 2,
        }),
    ];
    let note =
        records.iter().map(|record| record.line() + "\n").collect::<String>() + "a line of somebody's\n";
    let oid = Oid::from_bytes([0x5a; 32]);
    let texts: [(&str, Vec<String>); 7] = [
        ("note", vec![note]),
        (
            "pointer",
            vec![
                format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n"),
                format!(
                    "version https://git-lfs.github.com/spec/v1\next-0-x sha256:{oid}\noid sha256:{oid}\nsize 0\n"
                ),
            ],
        ),
        (
            "manifest",
            vec![format!(
                "# ours\n[repo]\nid = \"{repo}\"\nname = \"weather\"\n\n[[dataset]]\nid = \"{bundle}\"\nname = \"stations\"\n\
                 path = \"data/stations\"\ninclude = \"lfs\"\n"
            )],
        ),
        (
            "names",
            ["v1.0", "a/b", "release/v1.2.3-rc.1", "prod", "12k"]
                .into_iter()
                .map(str::to_owned)
                .chain([bundle.to_string(), oid.to_string(), "1".repeat(40)])
                .collect(),
        ),
        (
            "pushed_refs",
            vec![format!("refs/heads/main {0} refs/heads/main {1}\n(delete) {1} refs/heads/x {0}\n", "1".repeat(40), "0".repeat(40))],
        ),
        (
            "store_url",
            ["file:///srv/my%20data", "/srv/data", "s3://bucket/folder/x", "gs://bucket", "az://container/a=1", "memory:x"]
                .map(str::to_owned)
                .into(),
        ),
        (
            "settings",
            vec!["endpoint=https://host:9000\nregion=eu\npathStyle=yes\nencryption=aws:kms\ncacheSize=20g\ncache=data".to_owned()],
        ),
    ];
    for (name, inputs) in texts {
        seeds.insert(name, inputs.into_iter().map(String::into_bytes).collect());
    }
    let object = format!(r#""oid":"{oid}","size":5"#);
    let lines = |operation: &str, request: String| {
        format!(
            "{{\"event\":\"init\",\"operation\":\"{operation}\",\"remote\":\"origin\",\"concurrent\":true,\"concurrenttransfers\":8}}\n\
             {request}\n{{\"event\":\"terminate\"}}\n"
        )
        .into_bytes()
    };
    let upload = lines("upload", format!(r#"{{"event":"upload",{object},"path":"/a"}}"#));
    let download = lines("download", format!(r#"{{"event":"download",{object},"action":null}}"#));
    seeds.insert("protocol", vec![upload, download]);
}

#[test]
#[ignore = "writes the good inputs anew"]
fn bless_corpora() {
    let mut seeds = Seeds::new();
    for make in [of_the_log, of_tables, of_packs, of_versions, of_this_machine, of_repositories] {
        make(&mut seeds);
    }
    for target in &TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name);
        fs::create_dir_all(&folder).expect("made");
        for (n, input) in seeds[target.name].iter().enumerate() {
            fs::write(folder.join(format!("good-{n}")), input).expect("written");
        }
    }
}
