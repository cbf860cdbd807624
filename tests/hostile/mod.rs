//! Input that nobody of ours wrote, and what was ours before a disk or a stranger had it.
//!
//! `fuzz` (the functions that `fuzz/` hands to libFuzzer) is what all bytes from outside go through; `mutants` throws changed ones at
//! it, `decoders` cut and flipped ones, each of which has to be told; `one_bit` does the same to a whole store. `names` tries names,
//! `claims` numbers that promise too much, `places` where a repository may send somebody. `docs/security-tests.md` says which class of
//! attack is tried where.

mod claims;
mod commits;
mod decoders;
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;
mod mutants;
mod names;
mod one_bit;
mod places;
mod seeds;

/// Names in the page are those of tests, each of which is there.
#[test]
fn the_page_about_attacks_names_tests_that_there_are() {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut sources, mut open) =
        (String::new(), ["src", "tests", "lfs-agent"].map(|dir| top.join(dir)).to_vec());
    while let Some(path) = open.pop() {
        match std::fs::read_dir(&path) {
            Ok(found) => open.extend(found.flatten().map(|entry| entry.path())),
            Err(_) if path.extension().is_some_and(|it| it == "rs") => {
                sources += &std::fs::read_to_string(&path).expect("UTF-8");
            }
            Err(_) => {}
        }
    }
    let page = std::fs::read_to_string(top.join("docs/security-tests.md")).expect("the page");
    let plain = |word: &&str| word.len() > 20 && word.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
    let named: Vec<&str> = page.split('`').filter(plain).collect();
    let missing: Vec<&&str> = named.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(named.len() > 30 && missing.is_empty(), "{missing:?} of {}", named.len());
}
