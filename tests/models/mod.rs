//! The protocol under every schedule: explicit-state models over the real fold, checks, plans and state machines.
//!
//! Actors take their steps in every possible order; an actor that stops moving is a crash. Each model must be safe with
//! all rules on, and must find a loss when one rule is switched off. What a model brings itself is the store (which objects
//! exist) and the promise (what was acknowledged and not dropped); it never folds or checks on its own.

// State counts and schedules are what a model is run for.
#![allow(clippy::print_stdout)]

mod catalog;
mod explore;
mod head;
mod log_gc;
mod slot;
mod world;
