//! v6pod
