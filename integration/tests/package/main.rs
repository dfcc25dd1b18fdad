//! The packages that `make rpm deb` has made: the RPM as CentOS and Fedora take it, the deb on a bare Debian, and
//! the programs in them on an old kernel.

mod contents;
mod deb;
mod made;
mod old_kernel;
mod readme;
mod root;
mod rpm;
