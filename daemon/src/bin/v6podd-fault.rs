//! v6podd with the steps at which tests kill it or make it fail: see `v6podd::fault`.
fn main() -> std::process::ExitCode {
    v6podd::main()
}
