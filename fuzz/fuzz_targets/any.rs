//! libFuzzer's side: the function that FUZZ_TARGET names.

#![no_main]

use std::sync::LazyLock;

use datamon_fuzz::{Target, named};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names the function to call");
    named(&name).unwrap_or_else(|| panic!("there is no target {name:?}"))
});

fuzz_target!(|bytes: &[u8]| {
    let _ = (TARGET.run)(bytes);
});
