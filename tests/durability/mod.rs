//! What was acknowledged stays, whatever fails: tests over the library, without git.

mod fail_at;
mod world;
