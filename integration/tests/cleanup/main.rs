//! `v6pod cleanup --all`: afterwards the host is as it was before v6podd was first started, whatever happened
//! in between; and what is not v6podd's is never touched.

mod foreign;
mod names;
mod refused;
mod site;
mod whole;
mod wreck;
