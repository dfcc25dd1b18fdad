//! Names: who has one, from when to when, for whom. Asked for with dig, of a real Consul agent and of the
//! built-in DNS, mostly of both at once.

mod asking;
mod dig;
mod life;
mod outage;
mod restart;
mod site;
mod spelling;
