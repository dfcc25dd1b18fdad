//! v6pod-client
