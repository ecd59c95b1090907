//! Gives every Letta agent a home on Matrix.

fn main() -> std::process::ExitCode {
    letta_matrix::main()
}
