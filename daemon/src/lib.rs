//! v6podd
