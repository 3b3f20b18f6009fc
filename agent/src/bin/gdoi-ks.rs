//! The key server daemon.

fn main() -> std::process::ExitCode {
    agent::ks::main()
}
