//! The git-lfs custom transfer protocol.
