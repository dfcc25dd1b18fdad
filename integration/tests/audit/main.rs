//! Who had which address when: as an administrator with a complaint asks, as users may ask, and after
//! everything that can happen to the daemon, the host and the disk.

mod containers;
mod disk;
mod found;
mod reasons;
mod restart;
mod sight;
mod site;
