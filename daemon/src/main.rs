//! v6podd: see the library.
fn main() -> std::process::ExitCode {
    v6podd::main()
}
