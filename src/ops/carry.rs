//! Carry: files of a store onto this machine, on their way into another, or into the same one anew.

use std::path::Path;
use std::sync::Mutex;

use super::fetch::{FetchError, Source, Wanted, fetch};
use super::upload::Upload;
use crate::progress::Silent;

/// Files that lie on this machine on their way, bytes; one file may be larger.
const BATCH: u64 = 256 << 20;

/// Files in the order in which the packs have them, as many together as may lie here.
pub fn batches(mut files: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    files.sort_by_key(|file| file.terms.first().map(|term| (term.pack, term.offset, term.skip)));
    let (mut batches, mut size) = (vec![vec![]], 0_u64);
    for file in files {
        if size > 0 && size.saturating_add(file.size) > BATCH {
            batches.push(vec![]);
            size = 0;
        }
        size = size.saturating_add(file.size);
        batches.last_mut().expect("there is one").push(file);
    }
    batches.retain(|batch: &Vec<Wanted>| !batch.is_empty());
    batches
}

/// Fetches them into a directory, each under its oid: those that came, as they are to go on, and why the others did not.
pub fn fetch_into(source: &Source, files: &[Wanted], folder: &Path) -> (Vec<Upload>, Vec<FetchError>) {
    let placed: Vec<Wanted> =
        files.iter().map(|file| Wanted { path: folder.join(file.oid.to_string()), ..file.clone() }).collect();
    let came = Mutex::new((vec![], vec![]));
    fetch(source, &placed, &Silent, &|file, result| {
        let mut came = came.lock().expect("no holder of this lock panics");
        match result {
            Ok(()) => came.0.push(Upload {
                oid: Some(file.oid),
                size: file.size,
                path: file.path.clone(),
                previous: None,
            }),
            Err(error) => came.1.push(error),
        }
    });
    came.into_inner().expect("no holder of this lock panics")
}
