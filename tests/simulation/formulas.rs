//! The formulas of `docs/scale.md`, held to what the real code asks for.

use super::bucket::{Asked, Kind};
use super::world::{PACK_CHUNKS, Shape, World};

/// Entries in the tail with which a checkpoint is due, and bytes.
const TAIL: u64 = 64;
/// Bytes of an entry: its tail, what it adds itself, and some.
const ENTRY: u64 = (256 << 10) + (64 << 10);

fn grown(shape: Shape) -> World {
    let mut world = World::new(shape).expect("a store in memory");
    while world.pushed < shape.pushes {
        world.push().expect("pushed");
    }
    world
}

/// What holds of every shape: pushes of so many objects each, entries, checkpoints, merges.
fn assert_formulas(world: &World) {
    let Shape { pushes, chunks, .. } = world.shape;
    let data = u64::from(chunks.div_ceil(PACK_CHUNKS));
    let of = |kind| world.push.tally.of(kind);
    // A push: its data packs, the pages of its version in a meta pack, its entry.
    assert_eq!(of(Kind::Data).put, pushes * data);
    assert_eq!((of(Kind::Log).put, of(Kind::Log).head), (pushes, pushes));
    assert!((pushes..=pushes + pushes / 50).contains(&of(Kind::Meta).put), "{:?}", of(Kind::Meta));

    // Each entry of the log is one of these, read once by the one after it and found missing once by the push after it.
    let entries = pushes + world.checkpoint.times + world.merge.times;
    let merged = world.merge.tally.of(Kind::Log);
    assert!(merged.put <= 2 * world.merge.times, "an upkeep merges each of two tables once: {merged:?}");
    assert!(world.checkpoint.times <= entries.div_ceil(TAIL) * 2, "{} checkpoints", world.checkpoint.times);
    assert!(world.checkpoint.times >= entries / TAIL / 2, "{} checkpoints", world.checkpoint.times);
    let checkpoint = world.checkpoint.tally;
    assert_eq!(checkpoint.of(Kind::Log).put, world.checkpoint.times);
    assert_eq!(checkpoint.of(Kind::Other).put, world.checkpoint.times, "the hint");
    assert!(checkpoint.of(Kind::Meta).put <= 2 * world.checkpoint.times);
    let log: Asked =
        [world.push, world.checkpoint, world.merge].iter().fold(Asked::default(), |mut all, it| {
            all += it.tally.of(Kind::Log);
            all
        });
    assert!(log.written <= log.put * ENTRY, "{} bytes in {} entries", log.written, log.put);
    assert!(log.list < world.machines(), "a machine lists once, before its first entry: {}", log.list);
}

#[test]
fn two_thousand_small_pushes_cost_what_the_formulas_say() {
    let shape = Shape { pushes: 2_000, chunks: 50, files: 2, paths: 1_000, machines: 1 };
    let mut world = grown(shape);
    assert_formulas(&world);
    // refresh and the entry before; the root of the version before, two of its pages at most, an older version's rows.
    let pushed = world.push.tally.all();
    assert!(pushed.get <= 6 * shape.pushes, "{pushed:?}");
    // Rows and hooks of small pushes come with checkpoints, so merges follow those.
    assert!(world.merge.times <= world.checkpoint.times, "{} merges", world.merge.times);
    assert!(world.merge.tally.all().get <= 40 * world.merge.times, "{:?}", world.merge.tally.all());
    let cold = world.cold().expect("opens");
    let open = cold.open.tally.all();
    assert!(open.get <= 6 && open.head <= 13 && open.list <= 1, "{open:?}");
    assert!(cold.find.tally.all().get <= 6, "{:?}", cold.find.tally.all());
    assert_eq!(cold.one_in, 1, "every chunk has its hook");
    assert!(cold.hook_rows + 64 * 50 >= shape.pushes * 50, "but for those since the last checkpoint");
}

#[test]
fn large_pushes_cost_their_packs_and_little_else() {
    let shape = Shape { pushes: 40, chunks: 10_000, files: 100, paths: 1_000, machines: 1 };
    let mut world = grown(shape);
    assert_formulas(&world);
    let all = [world.push, world.checkpoint, world.merge].map(|it| it.tally.all());
    let metadata: u64 =
        all.iter().map(|it| it.written).sum::<u64>() - world.push.tally.of(Kind::Data).written;
    // 16 bytes of hooks and 36 of footers for a chunk, rows, versions, entries.
    assert!(metadata < 100 * 40 * 10_000, "{metadata} bytes of metadata");
    let cold = world.cold().expect("opens");
    assert_eq!(cold.hook_rows, 400_000);
    assert!(cold.hooks.tally.all().get <= 20, "{:?}", cold.hooks.tally.all());
}

#[test]
fn machines_in_turn_pay_for_finding_the_newest_entry() {
    let shape = Shape { pushes: 400, chunks: 10, files: 1, paths: 100, machines: 8 };
    let world = grown(shape);
    assert_formulas(&world);
    // Each is eight entries or so behind: four steps ahead, three back, and what a checkpoint holds once in a while.
    let pushed = world.push.tally.all();
    assert!(pushed.get <= 20 * shape.pushes, "{pushed:?}");
    assert!(pushed.get > 8 * shape.pushes, "{pushed:?}: more than alone");
}

#[test]
fn a_collection_reads_no_data_and_takes_what_is_dead() {
    // The last 1,800 of 2,000 files are those of the last version: the packs of the first four pushes are dead.
    let shape = Shape { pushes: 40, chunks: 1_000, files: 50, paths: 1_800, machines: 1 };
    let mut world = World::of_versions(shape).expect("a store in memory");
    while world.pushed < shape.pushes {
        world.push().expect("pushed");
    }
    let before = world.bucket.stored(Kind::Data);
    let (done, spent) = world.collect().expect("collected");
    let after = world.bucket.stored(Kind::Data);
    assert_eq!((before.0, after.0), (40, 36), "a tenth of the data is gone: {done:?}");
    assert_eq!((done.copied.bytes, done.unused_bytes), (0, 0));
    // What the canary looks into before the first delete: eight footers, of all the objects with data in them.
    let data = spent.tally.of(Kind::Data);
    let footer = 64 + 36 * 1_000 + 12 * 63;
    assert!(data.get <= 8 && data.read <= 8 * footer, "{data:?}");
    assert_eq!((data.put, data.head), (0, 0));
    // Tables and pages are read twice, the log entries since the mark once.
    let meta = spent.tally.of(Kind::Meta);
    assert!(meta.get <= 2 * (world.bucket.stored(Kind::Meta).0 + 40), "{meta:?}");
    assert!(spent.tally.of(Kind::Log).put <= 4, "Condemn, Forget, and what fell due");
}
