//! What a store costs at 10^6, 10^8 and 10^9 chunks and at 10^6 pushes: the real code over a bucket that keeps only sizes. Prints the
//! tables of `docs/scale.md`.
//!
//! ```text
//! cargo run --release --example scale -- [gc] PUSHES CHUNKS FILES PATHS [MACHINES]
//! ```
//! Chunks and files are those of one push, paths those of the dataset, of which each push replaces some. With
//! `gc` all versions but the last are given up in the end, and a collection is measured instead.

#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "../tests/simulation/mod.rs"]
mod simulation;

use simulation::bucket::{Asked, KINDS, Kind, Tally};
use simulation::world::{Result, Shape, Spent, World, peak_memory};

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1).peekable();
    let collects = words.next_if_eq("gc").is_some();
    let numbers: Vec<u64> = words.map(|word| word.parse()).collect::<std::result::Result<_, _>>()?;
    let [pushes, chunks, files, paths, rest @ ..] = &numbers[..] else {
        return Err("scale [gc] PUSHES CHUNKS FILES PATHS [MACHINES]".into());
    };
    let machines = rest.first().map_or(1, |count| *count as usize);
    let shape =
        Shape { pushes: *pushes, chunks: *chunks as u32, files: *files as u32, paths: *paths, machines };
    let mut world = if collects { World::of_versions(shape)? } else { World::new(shape)? };
    let mut said = 1;
    while world.pushed < shape.pushes {
        world.push()?;
        if world.pushed == said {
            said = (said * 10).min(said + shape.pushes / 10 + 1);
            eprintln!(
                "{} pushes, {:.1} s",
                world.pushed,
                (world.push.cpu + world.checkpoint.cpu + world.merge.cpu).as_secs_f64()
            );
        }
    }
    if collects { report_collection(&mut world) } else { report(&mut world) }
}

fn report_collection(world: &mut World) -> Result<()> {
    let Shape { pushes, chunks, files, .. } = world.shape;
    println!(
        "### gc after {pushes} pushes of {chunks} chunks in {files} files: {} chunks\n",
        pushes * u64::from(chunks)
    );
    let (packs, stored) = world.bucket.stored(Kind::Data);
    let begin = std::time::Instant::now();
    let (done, spent) = world.collect()?;
    // Giving up the versions is in it.
    let took = begin.elapsed();
    let (left, after) = world.bucket.stored(Kind::Data);
    println!(
        "data packs {packs} then {left}, bytes {stored} then {after}: {} per mille dead",
        (stored - after) * 1000 / stored.max(1)
    );
    println!("condemned {:?}\ndeleted {:?}\ncopied {:?}", done.condemned, done.deleted, done.copied);
    for kind in KINDS {
        println!("{kind:?} {:?}", spent.tally.of(kind));
    }
    println!(
        "squash and gc {:.1} s, gc {:.1} s of processor time",
        took.as_secs_f64(),
        spent.cpu.as_secs_f64()
    );
    println!("memory {}", peak_memory()?);
    Ok(())
}

fn report(world: &mut World) -> Result<()> {
    let shape = world.shape;
    println!(
        "### {} pushes of {} chunks in {} files of {}, {} machines: {} chunks\n",
        shape.pushes,
        shape.chunks,
        shape.files,
        shape.paths,
        shape.machines,
        shape.pushes * u64::from(shape.chunks)
    );
    println!(
        "| | times | GET | HEAD | PUT | LIST | read | written | CPU s |\n|---|---|---|---|---|---|---|---|---|"
    );
    let phases = [("push", world.push), ("checkpoint", world.checkpoint), ("merge", world.merge)];
    let mut all = Tally::default();
    for (name, spent) in phases {
        all += spent.tally;
        row(name, spent);
    }
    println!(
        "\n| kind | GET | HEAD | PUT | LIST | read | written | objects | bytes |\n|---|---|---|---|---|---|---|---|---|"
    );
    for kind in KINDS {
        let Asked { get, head, put, list, read, written } = all.of(kind);
        let (objects, stored) = world.bucket.stored(kind);
        println!(
            "| {kind:?} | {get} | {head} | {put} | {list} | {read} | {written} | {objects} | {stored} |"
        );
    }
    let peak = peak_memory()?;
    let kept = world.bucket.memory();
    let (live, meta, log) = world.hot()?;
    let cold = world.cold()?;
    println!(
        "\n| cold | times | GET | HEAD | PUT | LIST | read | written | CPU s |\n|---|---|---|---|---|---|---|---|---|"
    );
    [("open", cold.open), ("find one", cold.find), ("hooks", cold.hooks)]
        .into_iter()
        .for_each(|(name, spent)| row(name, spent));
    let state = world.catalog().state();
    println!("\nhooks: {} rows, {} read, one in {}", cold.hook_rows, cold.hook_head, cold.one_in);
    println!(
        "packs {}, bundles {}, segments {}, entries {}",
        state.packs().len(),
        state.bundles().len(),
        state.segments().len(),
        state.next()
    );
    println!("meta live {live}, meta {meta}, log {log}");
    println!("memory {peak}, of which the simulation {kept}");
    println!("largest merge: {} requests, {} bytes written", world.largest_merge.0, world.largest_merge.1);
    let sum = all.all();
    println!(
        "dollars: PUT {:.4} GET {:.4}",
        (sum.put + sum.list) as f64 * 0.005 / 1e3,
        (sum.get + sum.head) as f64 * 0.0004 / 1e3
    );
    let _ = Kind::Data;
    Ok(())
}

fn row(name: &str, spent: Spent) {
    let Asked { get, head, put, list, read, written } = spent.tally.all();
    println!(
        "| {name} | {} | {get} | {head} | {put} | {list} | {read} | {written} | {:.2} |",
        spent.times,
        spent.cpu.as_secs_f64()
    );
}
