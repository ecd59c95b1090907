//! The program, built together with its tests: cargo builds no other package's binary for a test.

fn main() -> std::process::ExitCode {
    letta_matrix::main()
}
