//! What goes over the pipe, seen from git-lfs's end.

mod hostile;
mod json;
mod pipe;
mod transcripts;
