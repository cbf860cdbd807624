//! Downloads that were killed: what they leave is removed by the next one.

use std::fs;

use datamon_test_support::seeded_bytes;

use super::{WEATHER, json, listing, machine, upload, weather, write};

#[test]
fn a_killed_download_leaves_nothing_behind_for_long() {
    let env = machine();
    write(&env, "data/large", seeded_bytes(1, 24 << 20));
    for n in 0..200 {
        write(&env, &format!("data/s/{n}"), seeded_bytes(10 + n, 20_000));
    }
    upload(&env, "data");
    let mut hit = false;
    for out in ["out-0", "out-1", "out-2", "out-3"] {
        let left = || -> Vec<_> {
            let found = fs::read_dir(env.work().join(out)).into_iter().flatten().flatten();
            found.filter(|it| it.file_name().to_string_lossy().starts_with(".datamon-")).collect()
        };
        let args = [&["download", "latest", "--dest", out], &WEATHER[..]].concat();
        let mut download = env.command("git-datamon");
        let mut download = download.current_dir(env.work()).args(args).spawn().expect("runs");
        while download.try_wait().expect("a child").is_none() {
            if left().iter().any(|it| it.path().join("0").exists()) {
                let _ = download.kill();
            }
            std::thread::yield_now();
        }
        hit |= !left().is_empty();
        // What the user has is never ours, whatever it is called.
        write(&env, &format!("{out}/.datamon-notes/0"), "mine");
        let done = json(&weather(&env, &["download", "latest", "--dest", out, "--json"]));
        assert_eq!(done["written"].as_u64().zip(done["kept"].as_u64()).map(|(a, b)| a + b), Some(201));
        fs::remove_dir_all(env.work().join(out).join(".datamon-notes")).expect("left alone");
        assert!(left().is_empty(), "{:?}", left());
        assert_eq!(listing(&env.work().join(out)), listing(&env.work().join("data")));
    }
    assert!(hit, "no download was killed in the middle");
}
