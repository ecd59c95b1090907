//! A relay between the fakes.

mod answers;
mod failures;
mod order;
mod world;
