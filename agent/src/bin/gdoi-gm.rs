//! The group member daemon.

fn main() -> std::process::ExitCode {
    agent::gm::main()
}
