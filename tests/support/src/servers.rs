//! Servers that run beside the tests: `tests/servers.sh` starts them and says where they are.

use std::env;

/// What a variable of `tests/servers.sh` says.
///
/// # Panics
/// If it says nothing: a test without its server would test nothing.
#[track_caller]
pub fn server(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| {
        panic!("no {variable}: start the servers with `eval \"$(./tests/servers.sh start)\"`, or run ./tests/run.sh")
    })
}
