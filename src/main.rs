//! The command line of git-datamon.
fn main() {}
