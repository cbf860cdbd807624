//! A directory tree into a store and out of it, for the comparison with other stores (`benches/compare.py`):
//!
//! ```text
//! tree init STORE
//! tree ingest STORE LIST DIR [--previous OLD_LIST]
//! tree restore STORE LIST OUT
//! ```
//! STORE is a directory or a URL; LIST is where the names of the files are kept; OLD_LIST that of the same DIR the last time, so that
//! untouched files are not read again. Each call is a process of its own, with the user's cache, as a command would be.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use datamon::id::RepoId;
use datamon::ops::open;
use datamon::ops::tree::{Tree, download_tree, upload_tree};
use datamon::progress::Silent;
use datamon::store::{Settings, StoreUrl};

fn run(args: &[&str]) -> Result<String, Box<dyn Error>> {
    let url = |place: &str| -> Result<StoreUrl, Box<dyn Error>> {
        if place.contains("://") {
            return Ok(StoreUrl::parse(place)?);
        }
        Ok(StoreUrl::of_directory(&std::path::absolute(place)?)?)
    };
    match args {
        ["init", store] => {
            open::create(&url(store)?, &Settings::default())?;
            Ok(String::new())
        }
        ["ingest", store, list, folder, rest @ ..] => {
            let previous = match rest {
                ["--previous", old] => Tree::decode(&fs::read(old)?)?,
                _ => Tree::default(),
            };
            let mut catalog = open::open(&url(store)?, &Settings::default())?;
            let (tree, stats) =
                upload_tree(&mut catalog, RepoId::NIL, Path::new(folder), &previous, &Silent)?;
            catalog.upkeep()?;
            fs::write(list, tree.encode())?;
            let counts = catalog.store().requests();
            Ok(format!(
                "{} files, {} known, {} bytes, {} new, {} stored, {} PUT, {} GET",
                stats.files, stats.known, stats.logical, stats.new_raw, stats.stored, counts.put, counts.get
            ))
        }
        ["restore", store, list, folder] => {
            let tree = Tree::decode(&fs::read(list)?)?;
            let mut catalog = open::open(&url(store)?, &Settings::default())?;
            download_tree(&mut catalog, RepoId::NIL, &tree, Path::new(folder), &Silent)?;
            Ok(format!("{} files, {} GET", tree.len(), catalog.store().requests().get))
        }
        _ => Err("tree init STORE | tree ingest STORE LIST DIR [--previous OLD_LIST] | tree restore STORE LIST OUT".into()),
    }
}

fn main() -> ExitCode {
    datamon::heap::share();
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
