//! The real Consul for tests: an agent in development mode on loopback.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

/// The token that may do everything at an agent with TLS.
pub const TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// The agent; killed when dropped.
pub struct Real {
    program: String,
    ports: [u16; 6],
    dir: TempDir,
    child: Child,
}

impl Real {
    /// Starts the program that `V6POD_TEST_CONSUL` names, if it does: with HTTP, or with HTTPS, certificates
    /// of its own making and access denied without [`TOKEN`].
    pub async fn start(tls: bool) -> Option<Self> {
        let program = std::env::var("V6POD_TEST_CONSUL").ok()?;
        let ports = [(); 6].map(|()| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        });
        let dir = tempfile::tempdir().unwrap();
        if tls {
            secure(&program, dir.path(), ports[0]);
        }
        let child = launch(&program, &ports, dir.path());
        let real = Self { program, ports, dir, child };
        real.wait().await;
        Some(real)
    }

    /// Ends it and starts an empty one in its place after a pause.
    pub async fn wipe(&mut self, pause: Duration) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        tokio::time::sleep(pause).await;
        self.child = launch(&self.program, &self.ports, self.dir.path());
        self.wait().await;
    }

    async fn wait(&self) {
        for _ in 0..400 {
            if tokio::net::TcpStream::connect(self.api()).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("Consul does not come up");
    }

    /// Where HTTP, or HTTPS, is.
    pub fn api(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[0]))
    }

    /// Where DNS is.
    pub fn dns(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[1]))
    }

    /// Its certificates and configuration.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn launch(program: &str, ports: &[u16; 6], dir: &Path) -> Child {
    let mut command = Command::new(program);
    command.args(["agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-grpc-port=-1"]);
    let config = dir.join("config.json");
    let secure = config.exists();
    if secure {
        command.arg("-config-file").arg(config).arg("-http-port=-1");
    }
    let flags = ["http", "dns", "serf-lan", "serf-wan", "server"];
    for (flag, port) in flags.iter().zip(ports).skip(usize::from(secure)) {
        command.arg(format!("-{flag}-port={port}"));
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Makes certificates and a configuration with TLS and access control.
fn secure(program: &str, dir: &Path, port: u16) {
    for arguments in [&["tls", "ca", "create"][..], &["tls", "cert", "create", "-server"]] {
        let output = Command::new(program).args(arguments).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let config = json!({
        "ports": { "https": port },
        "cert_file": dir.join("dc1-server-consul-0.pem"),
        "key_file": dir.join("dc1-server-consul-0-key.pem"),
        "acl": { "enabled": true, "default_policy": "deny", "tokens": { "master": TOKEN } },
    });
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
}
