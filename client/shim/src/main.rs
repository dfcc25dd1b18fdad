//! `v6pod-shim`: everything is in the library.

fn main() -> std::process::ExitCode {
    v6pod_client::run(std::env::args_os())
}
