//! The contract as others see it: the real grpcurl and a grpcio client, as root and as an ordinary user.

mod caller;
mod describe;
mod grpcio;
mod methods;
mod scope;
mod watch;
