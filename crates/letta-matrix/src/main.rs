//! Gives every Letta agent a home on Matrix.
fn main() {}
