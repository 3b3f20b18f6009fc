//! Shows and controls the group member and key server daemons of this host.

fn main() -> std::process::ExitCode {
    agent::ctl::main()
}
