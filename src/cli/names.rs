//! Names that some machine cannot have: good ones here, so that one hears of it and nothing more.

use crate::bundle::not_on_windows;
use crate::cli::Context;
use crate::cli::paths::shown;

/// Tells, in one line, of paths that go into a version and that Windows cannot have. Git takes them without a word (`core.protectNTFS` is
/// about what leads elsewhere), and whoever checks them out there is refused.
pub fn warn<'p>(paths: impl Iterator<Item = &'p [u8]>, context: &Context) {
    let mut odd = paths.filter_map(|path| Some((path, not_on_windows(path)?)));
    let Some((first, why)) = odd.next() else { return };
    let what = match odd.count() {
        0 => format!("Windows cannot have {}", shown(first)),
        more => format!("Windows cannot have {} of the names, the first: {}", more + 1, shown(first)),
    };
    context.ui.warning(&format!("{what}: {why}"));
}
