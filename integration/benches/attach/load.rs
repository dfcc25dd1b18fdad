//! What an attachment that is in use gives: throughput and round trips.

use std::{
    net::{Ipv6Addr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{namespace::Namespace, stats::Series};

const TRIPS: usize = 1000;

/// An iperf3 server on the host.
pub struct Server(Child);

impl Server {
    /// Starts it and waits until it listens.
    pub fn start() -> Self {
        let child = Command::new("iperf3")
            .arg("--server")
            .stdout(Stdio::null())
            // It complains of the connection that only tells whether it listens.
            .stderr(Stdio::null())
            .spawn()
            .expect("iperf3");
        while TcpStream::connect(("::1", 5201)).is_err() {
            thread::sleep(Duration::from_millis(5));
        }
        Self(child)
    }

    /// One second from the namespace to the host, in Gbit/s.
    pub fn throughput(&self, namespace: &Namespace, gateway: Ipv6Addr) -> f64 {
        let output = Command::new("nsenter")
            .arg(format!("--net={}", namespace.path()))
            .args(["iperf3", "--json", "--time", "1", "--omit", "0", "--client", &gateway.to_string()])
            .output()
            .expect("nsenter");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("iperf3 writes JSON");
        let bits = report["end"]["sum_received"]["bits_per_second"].as_f64();
        bits.unwrap_or_else(|| panic!("iperf3: {report}")) / 1e9
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The median round trip from inside to the gateway, in microseconds.
pub fn round_trip(namespace: &Namespace, gateway: Ipv6Addr) -> f64 {
    let socket = namespace.socket();
    let mut trips = Series::default();
    (0..TRIPS).for_each(|_| trips.add(socket.round_trip(gateway)));
    trips.median() * 1e3
}
