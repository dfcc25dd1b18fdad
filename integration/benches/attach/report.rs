//! The table.

use std::{fmt::Write as _, fs};

use crate::{rounds::Measured, stats::Series};

const CLIENT: &str = "/usr/libexec/v6pod/slirp4netns";
const LARGEST: u64 = 1 << 20;

/// The whole report, at most 80 columns wide.
pub fn text(measured: &Measured) -> String {
    let m = measured;
    let mut text = String::new();
    heading(&mut text, "attach: start until the first reply from the gateway, ms");
    row(&mut text, "v6pod: the client's start to the first reply", &m.v6pod);
    row(&mut text, "  the client's start to its exec of slirp4netns", &m.exec);
    row(&mut text, "  the call of Activate alone, from a warm process", &m.activate);
    row(&mut text, "CNI bridge + host-local ADD", &m.cni);
    row(&mut text, "bare netlink operations, within a warm process", &m.bare);
    row(&mut text, "  to the last answer of the kernel", &m.operations);
    row(&mut text, "bare netlink operations, by a program started for it", &m.program);
    heading(&mut text, "detach, ms");
    row(&mut text, "v6pod: slirp4netns is killed, until all is gone", &m.lease);
    row(&mut text, "  the call of Deactivate alone", &m.deactivate);
    row(&mut text, "CNI bridge + host-local DEL", &m.cni_del);
    row(&mut text, "bare netlink operations", &m.bare_del);
    heading(&mut text, "the client, ms");
    row(&mut text, "start to exec of slirp4netns, the daemon away", &m.away);
    row(&mut text, "start to exec of slirp4netns, without Activate's time", &m.exec.minus(&m.activate));
    heading(&mut text, "in use");
    row(&mut text, "throughput to the host through v6pod, Gbit/s", &m.throughput[0]);
    row(&mut text, "  through a veth pair and a bridge made by hand", &m.throughput[1]);
    row(&mut text, "UDP round trip to the gateway through v6pod, us", &m.trip[0]);
    row(&mut text, "  through a veth pair and a bridge made by hand", &m.trip[1]);
    let _ = writeln!(text, "\n{:<52}{:>9}{:>9}  ", "ratios, and what they should be", "is", "at most");
    target(&mut text, "attach: v6pod / CNI", m.v6pod.ratio(&m.cni), 0.5);
    target(&mut text, "attach: v6pod / bare operations by a program", m.v6pod.ratio(&m.program), 1.5);
    target(&mut text, "attach: v6pod / bare operations, no process started", m.v6pod.ratio(&m.bare), 1.5);
    target(&mut text, "throughput: made by hand / v6pod", m.throughput[1].ratio(&m.throughput[0]), 1.1);
    target(&mut text, "round trip: v6pod / made by hand", m.trip[0].ratio(&m.trip[1]), 1.1);
    target(&mut text, "the client without the daemon's time, ms", m.exec.minus(&m.activate).median(), 10.0);
    let size = fs::metadata(CLIENT).map_or(0, |file| file.len());
    let what = "the client's size, octets";
    let _ = writeln!(text, "{what:<52}{size:>9}{LARGEST:>9}  {}", verdict(size <= LARGEST));
    text
}

fn heading(text: &mut String, title: &str) {
    let _ = writeln!(text, "\n{title:<54}{:>8}   10%..90%", "median");
}

fn row(text: &mut String, what: &str, series: &Series) {
    let spread = format!("{}..{}", number(series.quantile(0.1)), number(series.quantile(0.9)));
    let _ = writeln!(text, "{what:<54}{:>8}{spread:>17}", number(series.median()));
}

fn target(text: &mut String, what: &str, is: f64, most: f64) {
    let _ = writeln!(text, "{what:<52}{is:>9.2}{most:>9.1}  {}", verdict(is <= most));
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// Three digits or so.
fn number(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}
