//! The `git-datamon` executable, which git runs for `git datamon`.

use std::process::ExitCode;

fn main() -> ExitCode {
    datamon::heap::share();
    datamon::cli::main(std::env::args_os())
}
