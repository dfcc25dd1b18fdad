//! v6pod-integration
